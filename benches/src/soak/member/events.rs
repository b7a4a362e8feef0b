//! Received events: each is checked and changes what the member knows.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chat_memory::{Ledger, View};
use serde_json::Value;

use super::{Member, PendingCommand};

impl Member {
    /// Checks a received event.
    pub(super) fn apply(&mut self, raw: &str) {
        let Ok(event) = serde_json::from_str::<Value>(raw) else {
            return self.record_violation(&format!("not JSON: {raw}"));
        };
        let pending = match event["id"].as_u64() {
            None => None,
            Some(id) => match self.pending.remove(&id) {
                Some(pending) => Some(pending),
                None => return self.record_violation(&format!("a reply without a command: {raw}")),
            },
        };
        match event["type"].as_str().unwrap_or_default() {
            "welcome" => self.token = event["token"].as_str().map(str::to_owned),
            "joined" => self.on_joined(&event, raw, pending),
            "message" | "notice" => {
                self.with_view(raw, |view, ledger| view.apply_event(&event, raw, ledger));
            }
            "gap" => {
                self.with_view(raw, |view, _| view.apply_gap(&event));
                let skipped = event["to"].as_u64().zip(event["from"].as_u64());
                let skipped = skipped.map_or(0, |(to, from)| to.saturating_sub(from) + 1);
                self.oracle().skipped += skipped;
            }
            "presence" => self.with_view(raw, |view, _| view.apply_presence(&event)),
            "history" => self.with_view(raw, |view, ledger| view.check_history(raw, ledger)),
            "members" => {
                let first = matches!(pending, Some(PendingCommand::Members { first: true }));
                self.with_view(raw, |view, _| view.apply_members(&event, first));
            }
            "sent" => self.on_sent(&event, raw, pending),
            "left" => self.view = None,
            "removed" => {
                self.view = None;
                self.removed = event["reason"].as_str().map(str::to_owned);
            }
            "error" => self.on_refused(&event, pending),
            _ => {}
        }
        if let Some(view) = &self.view {
            self.position = Some((view.epoch.clone(), view.seq));
        }
    }

    fn on_joined(&mut self, event: &Value, raw: &str, pending: Option<PendingCommand>) {
        let Some(PendingCommand::Join { since }) = pending else {
            return self.record_violation(&format!("`joined` without a `join`: {raw}"));
        };
        match event["recovered"].as_bool() {
            Some(true) => self.recovered += 1,
            _ if since.is_some() => self.unrecovered += 1,
            _ => {}
        }
        let ledger = Ledger::default();
        let opened = checked(|| View::from_joined(event, raw, since, &ledger));
        self.report_events(&ledger);
        match opened {
            Ok(view) => {
                self.view = Some(view);
                self.resend();
            }
            Err(why) => self.record_violation(&why),
        }
    }

    fn on_sent(&mut self, event: &Value, raw: &str, pending: Option<PendingCommand>) {
        let (Some(PendingCommand::Send { text, fresh, .. }), Some(view), Some(seq)) =
            (pending, &self.view, event["seq"].as_u64())
        else {
            return self.record_violation(&format!("`sent` without a `send`: {raw}"));
        };
        if fresh && seq <= view.seq {
            self.record_violation(&format!(
                "the member's own message came before `sent`: {raw}"
            ));
        }
        let (room, epoch) = self.room_and_epoch();
        self.oracle()
            .record_acknowledgement(&room, &epoch, seq, &text, self.no);
    }

    fn on_refused(&mut self, event: &Value, pending: Option<PendingCommand>) {
        let code = event["code"].as_str().unwrap_or_default().to_owned();
        if code == "bad_token" {
            self.token = None;
        }
        if code == "internal" {
            self.record_violation(&event.to_string());
        }
        *self.refusals.entry(code).or_default() += 1;
        if let Some(PendingCommand::Send { key, text, .. }) = pending {
            self.unacknowledged.push_back((key, text));
        }
    }

    /// Applies an event to the view, and reports to the oracle what the view has accepted.
    fn with_view(&mut self, raw: &str, apply: impl FnOnce(&mut View, &Ledger)) {
        let Some(view) = &mut self.view else {
            return self
                .record_violation(&format!("an event of a room that was not joined: {raw}"));
        };
        let ledger = Ledger::default();
        let result = checked(|| apply(view, &ledger));
        self.report_events(&ledger);
        if let Err(why) = result {
            self.record_violation(&why);
        }
    }

    fn report_events(&self, ledger: &Ledger) {
        for (room, epoch, seq, raw) in ledger.all() {
            self.oracle()
                .record_event(&room, &epoch, seq, &raw, self.no);
        }
    }
}

/// Runs a check of a view, which panics if a promise is broken. Returns the message of the panic.
fn checked<T>(check: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(check)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default()
    })
}
