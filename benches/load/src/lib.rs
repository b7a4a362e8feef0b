//! The parts of the load generator: cheap WebSocket framing, the clients on one epoll, the
//! accounting of deliveries, CPU time and memory of a process, and the reports.

pub mod engine;
pub mod frame;
pub mod proc;
pub mod protocol;
pub mod report;
pub mod track;
