//! What every request needs.

use chat_core::Chat;
use chat_ws::ChatService;

use crate::proxies::Proxies;

pub(crate) struct App {
    pub(crate) chat: Chat,
    pub(crate) ws: ChatService,
    pub(crate) proxies: Proxies,
}
