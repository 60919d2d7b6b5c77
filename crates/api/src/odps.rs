//! ODPS REST: documents about projects, tables and jobs, and the submission of jobs.

pub mod instance_detail;
pub mod instance_docs;
pub mod instances;
pub mod partitions;
pub mod projects;
pub mod quotas;
pub mod security;
pub mod service;
pub mod tables;
