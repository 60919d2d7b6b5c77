//! ODPS REST: documents about projects, schemas, tables, resources, functions, volumes and jobs, and the submission of jobs.

pub mod functions;
pub mod instance_detail;
pub mod instance_docs;
pub mod instances;
pub mod interactive;
pub mod partitions;
pub mod projects;
pub mod quotas;
pub mod resources;
pub mod schemas;
pub mod security;
pub mod service;
pub mod tables;
pub mod volume_items;
pub mod volumes;
