//! The state machine against a naive model, and that the same operations always give the same
//! state.

use std::sync::Mutex;

use proptest::prelude::*;

use super::model::Model;
use super::*;
use crate::clock::Stamp;
use crate::identity::nickname::Nickname;
use crate::identity::password::Password;
use crate::protocol::message::Content;
use crate::protocol::{HistoryFrom, MemberId, RoomId};

/// An operation after some time.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) wait_ms: u64,
    pub(super) member: u8,
    /// The stay that the operation means, which may be over; the member's current one if there is
    /// none.
    pub(super) ordinal: Option<u64>,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Join {
        nickname: Option<usize>,
        verified: Option<u64>,
    },
    Grant,
    Detach {
        left: bool,
    },
    Send {
        key: Option<u8>,
    },
    Announce,
    Rename {
        nickname: usize,
    },
    /// The length of a ban in milliseconds, or 0 for as long as the room lives.
    Remove {
        ban_ms: Option<u64>,
    },
    Unban,
    Close,
    Tick,
}

/// The first three look alike.
pub(super) const NICKNAMES: [&str; 5] = ["Ann", "ANN", "Аnn", "Ben", "Cho"];
pub(super) const RETAINED: usize = 5;
const START: u64 = 1_000_000;

pub(super) fn member(n: u8) -> MemberId {
    MemberId([n; 15])
}

fn steps(max: usize) -> impl Strategy<Value = Vec<Step>> {
    let nickname = 0..NICKNAMES.len();
    let what = prop_oneof![
        8 => (proptest::option::of(nickname.clone()), proptest::option::weighted(0.7, 1..3u64))
            .prop_map(|(nickname, verified)| What::Join { nickname, verified }),
        1 => Just(What::Grant),
        4 => any::<bool>().prop_map(|left| What::Detach { left }),
        8 => proptest::option::of(0..3u8).prop_map(|key| What::Send { key }),
        2 => Just(What::Announce),
        3 => nickname.prop_map(|nickname| What::Rename { nickname }),
        2 => proptest::option::of(prop_oneof![Just(0), 1..5000u64])
            .prop_map(|ban_ms| What::Remove { ban_ms }),
        1 => Just(What::Unban),
        1 => proptest::bool::weighted(0.1).prop_map(|close| if close { What::Close } else { What::Tick }),
        2 => Just(What::Tick),
    ];
    let wait = prop_oneof![3 => Just(0), 3 => 1..500u64, 1 => 500..4000u64];
    let ordinal = proptest::option::weighted(0.1, 0..6u64);
    let step = (wait, 0..3u8, ordinal, what).prop_map(|(wait_ms, member, ordinal, what)| Step {
        wait_ms,
        member,
        ordinal,
        what,
    });
    proptest::collection::vec(step, 0..max)
}

prop_compose! {
    fn settings()(
        capacity in prop_oneof![Just(0), Just(2)],
        password in any::<bool>(),
        grace_ms in prop_oneof![Just(0), Just(1000)],
        ttl_ms in prop_oneof![Just(0), Just(9000)],
        kept in any::<bool>(),
        from_join in any::<bool>(),
    ) -> Settings {
        Settings {
            title: "Tea".into(),
            capacity,
            password: password.then(|| RoomPassword { version: 1, hash: Password::unusable().into() }),
            ttl_ms,
            grace_ms,
            idle_ms: 2000,
            history_from: if from_join { HistoryFrom::Join } else { HistoryFrom::All },
            listed: false,
            kept,
        }
    }
}

fn stamp(now: u64) -> Stamp {
    Stamp {
        monotonic_ms: START + now,
        unix_ms: START + now,
    }
}

fn state(settings: Settings) -> State {
    let retention = Retention {
        events: RETAINED,
        bytes: 1 << 20,
    };
    State::new(RoomId::new("r").unwrap(), settings, retention, stamp(0))
}

/// Applies a step, and gives its outcome as text.
fn apply(state: &mut State, step: &Step, now: u64) -> String {
    fn run<O: Operation<Outcome: std::fmt::Debug>>(
        state: &mut State,
        now: u64,
        operation: O,
    ) -> String {
        let (outcome, _effects) = state.apply(stamp(now), operation);
        format!("{outcome:?}")
    }
    let member = member(step.member);
    let current = state.roster().seat(member).map(|seat| seat.ordinal);
    let ordinal = step.ordinal.or(current).unwrap_or(u64::MAX);
    let content = Content {
        text: "x",
        data: None,
        reply_to: None,
    };
    match &step.what {
        What::Join { nickname, verified } => {
            let all = NICKNAMES.map(Nickname::new);
            let nickname = match nickname {
                Some(n) => JoinNickname::Chosen(&all[*n]),
                None => JoinNickname::FirstFreeOf(&all),
            };
            let verified = *verified;
            let join = Join {
                member,
                nickname,
                verified,
            };
            let (outcome, _effects) = state.apply(stamp(now), join);
            let seated = |seated: Seated| {
                let nickname = seated.member.nickname;
                (nickname, seated.ordinal, seated.seq, seated.visible_from)
            };
            format!("{:?}", outcome.map(seated))
        }
        What::Grant => run(state, now, Grant { member }),
        What::Detach { left } => {
            let left = *left;
            let detach = Detach {
                member,
                ordinal,
                left,
            };
            run(state, now, detach)
        }
        What::Send { key } => {
            let key = key.map(|key| key.to_string());
            let (outcome, _effects) = state.apply(
                stamp(now),
                SendMessage {
                    member,
                    ordinal,
                    content,
                    key: key.as_deref(),
                },
            );
            format!("{:?}", outcome.map(|position| position.seq))
        }
        What::Announce => {
            let (outcome, _effects) = state.apply(stamp(now), Announce { content });
            format!("{:?}", outcome.map(|position| position.seq))
        }
        What::Rename { nickname } => {
            let nickname = Nickname::new(NICKNAMES[*nickname]);
            let rename = Rename {
                member,
                ordinal,
                nickname: &nickname,
            };
            let (outcome, _effects) = state.apply(stamp(now), rename);
            format!(
                "{:?}",
                outcome.map(|before| before.map(|before| before.text))
            )
        }
        What::Remove { ban_ms } => {
            let length = |ms| match ms {
                0 => BanLength::Unlimited,
                ms => BanLength::Milliseconds(ms),
            };
            let remove = Remove {
                member,
                text: None,
                ban: ban_ms.map(length),
            };
            let (outcome, _effects) = state.apply(stamp(now), remove);
            format!("{:?}", outcome.map(|removed| removed.was_present))
        }
        What::Unban => run(state, now, Unban { member }),
        What::Close => run(state, now, Close { text: None }),
        What::Tick => run(state, now, Tick),
    }
}

proptest! {
    /// Outcomes, seats and events are those of a model that only uses lists.
    #[test]
    fn the_state_is_that_of_a_naive_model(settings in settings(), steps in steps(60)) {
        let mut model = Model::new(&settings);
        let mut state = state(settings);
        let mut now = 0;
        for step in &steps {
            now += step.wait_ms;
            let outcome = apply(&mut state, step, now);
            prop_assert_eq!(outcome, model.apply(step, now), "{:?} at {}", step, now);
            let seats: Vec<_> = state.roster().seats()
                .map(|(id, seat, _)| (id, seat.nickname.to_string(), seat.connections))
                .collect();
            prop_assert_eq!(seats, model.seats());
            prop_assert_eq!(state.log().newest(), model.newest());
            prop_assert_eq!(state.lifecycle(), model.lifecycle());
            // Nothing that was due is left undone.
            prop_assert!(state.due().is_none_or(|due| due > START + now));
        }
    }

    /// It does not matter whether, and how often, a tick comes in between.
    #[test]
    fn ticks_change_nothing_but_when_it_is_done(
        settings in settings(),
        steps in steps(40),
        ticks in proptest::collection::vec(0..4u64, 40),
    ) {
        let (mut plain, mut ticked) = (state(clone(&settings)), state(settings));
        let mut now = 0;
        for (step, ticks) in steps.iter().zip(ticks) {
            for tick in 1..=ticks {
                let (_, _effects) = ticked.apply(stamp(now + step.wait_ms * tick / 4), Tick);
            }
            now += step.wait_ms;
            prop_assert_eq!(apply(&mut plain, step, now), apply(&mut ticked, step, now));
            prop_assert_eq!(plain.digest(), ticked.digest());
        }
    }

    /// What several threads have applied gives the same state when it is applied again by one.
    #[test]
    fn operations_of_several_threads_can_be_replayed(
        settings in settings(),
        threads in proptest::collection::vec(steps(20), 3),
    ) {
        let shared = Mutex::new((state(clone(&settings)), 0, Vec::new()));
        std::thread::scope(|scope| {
            for steps in threads {
                let shared = &shared;
                scope.spawn(move || {
                    for step in steps {
                        let mut shared = shared.lock().unwrap();
                        shared.1 += step.wait_ms;
                        let now = shared.1;
                        apply(&mut shared.0, &step, now);
                        shared.2.push((step, now));
                    }
                });
            }
        });
        let (first, _, applied) = shared.into_inner().unwrap();
        let mut again = state(settings);
        for (step, now) in applied {
            apply(&mut again, &step, now);
        }
        prop_assert_eq!(first.digest(), again.digest());
    }

    /// A refused operation changes nothing but what is due, as does a tick.
    #[test]
    fn a_refused_operation_is_a_tick(settings in settings(), steps in steps(40)) {
        let (mut state, mut other) = (state(clone(&settings)), state(settings));
        let mut now = 0;
        for step in &steps {
            now += step.wait_ms;
            if apply(&mut state, step, now).starts_with("Err") {
                let (_, _effects) = other.apply(stamp(now), Tick);
            } else {
                apply(&mut other, step, now);
            }
            prop_assert_eq!(state.digest(), other.digest());
        }
    }
}

fn clone(settings: &Settings) -> Settings {
    Settings {
        title: settings.title.clone(),
        password: settings.password.clone(),
        ..*settings
    }
}
