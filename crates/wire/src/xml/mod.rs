//! The XML documents of the REST half: what clients send, and what they expect back.
//!
//! [`Node::parse`] reads any small document under hard limits; [`parse_instance`], [`parse_stop`],
//! [`parse_authorization`], [`parse_info`], [`parse_function`], [`parse_schema_name`], [`parse_volume`],
//! [`parse_volume_directory`] and [`parse_volume_change`] read the ones clients send.
//! [`Element`] writes; the functions in [`docs`] give each answer its shape. Child names are those PyODPS looks for
//! (`odps/models/*.py`); they are case sensitive.

pub mod docs;
mod node;
mod request;
mod volume;
mod write;

pub use node::Node;
pub use request::{
    AuthorizationRequest, FunctionRequest, JobRequest, SchemaRequest, Task, TaskKind, parse_authorization,
    parse_function, parse_info, parse_instance, parse_schema_name, parse_stop,
};
pub use volume::{VolumeChange, VolumeRequest, parse_volume, parse_volume_change, parse_volume_directory};
pub use write::Element;
