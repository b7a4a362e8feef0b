//! The parts of the load generator: WebSocket framing that costs little, the epoll client engine, the accounting of
//! deliveries, CPU and memory of a process, and the reports.

pub mod engine;
pub mod frame;
pub mod proc;
pub mod protocol;
pub mod report;
pub mod track;
