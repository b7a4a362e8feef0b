//! Who is connected: `hello`, and what it leads to.

use std::sync::Arc;

use super::continuation::{CommandResult, PendingCommand};
use super::session::{Session, Visitor};
use crate::clock::{Now, millis};
use crate::engine::guard;
use crate::identity::Identity;
use crate::identity::default_nickname::{self, Language};
use crate::identity::nickname::{self, Nickname};
use crate::protocol::event::{Event, WelcomeLimits};
use crate::protocol::{Code, Error};

/// The fields of `hello`.
#[derive(Default)]
pub(super) struct Hello {
    pub(super) token: Option<String>,
    pub(super) nickname: Option<String>,
    pub(super) locale: Option<String>,
}

pub(super) fn hello(
    session: &mut Session,
    id: Option<u64>,
    fields: &Hello,
    now: Now,
) -> CommandResult {
    if session.visitor.is_some() {
        let message = "You have said hello already";
        return Err(Error::new(Code::AlreadyIdentified, message));
    }
    let nickname = fields.nickname.as_deref();
    let nickname = nickname.map(|nickname| normalise(session, nickname));
    let nickname = nickname.transpose()?;
    let locale = fields.locale.as_deref();
    let language = locale.map(Language::of_locale).unwrap_or_default();
    let identity = match (session.ticket.identity, &fields.token) {
        (Some(identity), _) => identity,
        (None, Some(token)) => {
            let (engine, token) = (Arc::clone(&session.engine), token.clone());
            return Ok(Some(PendingCommand::new(id, async move {
                let resumed = async {
                    let now_ms = now.stamp.unix_ms;
                    engine.identities.resume(&token, now_ms).await
                };
                let identity = guard(resumed, engine.limits.policy_timeout).await;
                move |session: &mut Session, now, _: &mut _| {
                    let visitor = Visitor {
                        identity: identity?,
                        nickname,
                        language,
                    };
                    welcome(session, id, visitor, now);
                    Ok(None)
                }
            })));
        }
        (None, None) => {
            let (rates, address) = (&session.engine.rates, session.ticket.address);
            rates.count_identity(address, now.instant)?;
            Identity::from_bits(session.engine.random())
        }
    };
    let visitor = Visitor {
        identity,
        nickname,
        language,
    };
    welcome(session, id, visitor, now);
    Ok(None)
}

fn welcome(session: &mut Session, id: Option<u64>, visitor: Visitor, now: Now) {
    let engine = &session.engine;
    let proposal = match &visitor.nickname {
        Some(nickname) => nickname.text.to_string(),
        None => {
            let bits = u64::from_le_bytes(engine.random());
            default_nickname::nickname(visitor.language, bits, 0)
        }
    };
    let limits = &engine.limits;
    let expires_at = now.stamp.unix_ms.saturating_add(millis(limits.token_ttl));
    session.outbox.push(&Event::Welcome {
        id,
        protocol: 1,
        nickname: &proposal,
        token: &engine.identities.issue(&visitor.identity, expires_at),
        expires_at,
        limits: WelcomeLimits {
            text_bytes: limits.text_bytes,
            data_bytes: limits.data_bytes,
            frame_bytes: limits.frame_bytes,
            rooms_per_connection: limits.rooms_per_connection,
            nickname_chars: limits.nickname_chars,
            title_chars: limits.title_chars,
            history: limits.page,
        },
        heartbeat_ms: millis(limits.heartbeat),
    });
    session.visitor = Some(Box::new(visitor));
}

/// A nickname as a client has given it, normalised and checked.
pub(super) fn normalise(session: &Session, nickname: &str) -> Result<Nickname, Error> {
    let normalised = nickname::normalise(nickname, session.engine.limits.nickname_chars)?;
    Ok(Nickname::new(&normalised))
}

/// Who is connected. Every command but `hello` comes after it.
pub(super) fn visitor(session: &Session) -> &Visitor {
    session.visitor.as_ref().expect("hello comes first")
}
