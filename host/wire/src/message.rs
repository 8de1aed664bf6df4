//! What the two ends say to each other, one message a frame.

use bytes::{BufMut, Bytes, BytesMut};
use foreshade_types::{ControllerId, Decision, HostId, Outcome, RackId, Tick};

use crate::cursor::Cursor;
use crate::decision::{self, DECISION_BYTES, MAX_PER_TICK, OUTCOME_BYTES};
use crate::frame::{Frame, LENGTH_BYTES, MAX_FRAME_BYTES};
use crate::{PROTOCOL, WireError};

/// Longest text of [`Message::Refused`] and [`Message::Bye`], bytes.
pub const MAX_TEXT_BYTES: usize = 1024;

/// Why a peer was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum RefusalCode {
    /// Another protocol version.
    Protocol = 1,
    /// Another telemetry schema.
    Schema = 2,
    /// The identity's role may not do this.
    Role = 3,
    /// The identity belongs to another rack.
    Rack = 4,
    /// The identity belongs to another host.
    Host = 5,
    /// Bytes that are no message, or a message out of turn.
    Malformed = 6,
    /// The certificate names no identity of this domain.
    Identity = 7,
    /// A newer connection of the same identity has taken over.
    Replaced = 8,
    /// Too many peers, or too slow.
    Limit = 9,
    /// A row for a VM that is not on the agent's host.
    Vm = 10,
}

impl RefusalCode {
    /// All codes, for decoding.
    pub const ALL: [Self; 10] = [
        Self::Protocol,
        Self::Schema,
        Self::Role,
        Self::Rack,
        Self::Host,
        Self::Malformed,
        Self::Identity,
        Self::Replaced,
        Self::Limit,
        Self::Vm,
    ];

    /// The code of a number from the wire or from a closed connection.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|c| *c as u64 == number)
    }
}

/// One message. The comment says who sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Agent, first: who it is and what it will send.
    AgentHello {
        /// [`PROTOCOL`] of the agent.
        protocol: u32,
        /// Its host.
        host: HostId,
        /// The first tick not acknowledged yet.
        next_tick: Tick,
        /// The Arrow schema message of its batches: [`crate::telemetry::schema_bytes`].
        schema: Bytes,
    },
    /// Agent: the samples of one tick, one Arrow RecordBatch message.
    Telemetry {
        /// The tick.
        tick: Tick,
        /// [`crate::TelemetryBatch::encode`].
        ipc: Bytes,
    },
    /// Agent: no more samples for this tick.
    EndOfTick {
        /// The tick.
        tick: Tick,
        /// Rows sent for it.
        rows: u32,
    },
    /// Controller, first: whose decisions it wants and where it left off.
    Subscribe {
        /// [`PROTOCOL`] of the controller.
        protocol: u32,
        /// The rack.
        rack: RackId,
        /// Its number.
        controller: ControllerId,
        /// Highest decision number it has answered; 0 = none.
        last_seq: u64,
        /// Highest epoch it has seen; 0 = none.
        epoch: u64,
    },
    /// Controller: what became of the decisions of a tick; also says that the tick is done. Sent when empty too.
    Outcomes {
        /// The tick.
        tick: Tick,
        /// One per decision, in the order of their numbers.
        outcomes: Vec<Outcome>,
    },
    /// Appliance, first: the peer is let in.
    Welcome {
        /// The appliance's fencing epoch.
        epoch: u64,
    },
    /// Appliance to agent: this tick may be sent; all earlier ones are acknowledged.
    Release {
        /// The tick.
        tick: Tick,
    },
    /// Appliance to controller: all decisions of a tick. Sent when empty too.
    Decisions {
        /// The tick.
        tick: Tick,
        /// In the order of their numbers.
        decisions: Vec<Decision>,
    },
    /// Appliance, last: the peer is turned away.
    Refused {
        /// The kind of reason.
        code: RefusalCode,
        /// The reason in one line.
        text: String,
    },
    /// Appliance, last: the run is over.
    Bye {
        /// Why, in one line.
        text: String,
    },
}

/// Kind bytes: 1.. from agents, 16.. from controllers, 32.. from the appliance.
mod kind {
    pub(super) const AGENT_HELLO: u8 = 1;
    pub(super) const TELEMETRY: u8 = 2;
    pub(super) const END_OF_TICK: u8 = 3;
    pub(super) const SUBSCRIBE: u8 = 16;
    pub(super) const OUTCOMES: u8 = 17;
    pub(super) const WELCOME: u8 = 32;
    pub(super) const RELEASE: u8 = 33;
    pub(super) const DECISIONS: u8 = 34;
    pub(super) const REFUSED: u8 = 35;
    pub(super) const BYE: u8 = 36;
}

impl Message {
    /// The hello of an agent of this version.
    pub fn agent_hello(host: HostId, next_tick: Tick) -> Self {
        let schema = Bytes::from_static(crate::telemetry::schema_bytes());
        Self::AgentHello { protocol: PROTOCOL, host, next_tick, schema }
    }

    /// Its name in logs and errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AgentHello { .. } => "AgentHello",
            Self::Telemetry { .. } => "Telemetry",
            Self::EndOfTick { .. } => "EndOfTick",
            Self::Subscribe { .. } => "Subscribe",
            Self::Outcomes { .. } => "Outcomes",
            Self::Welcome { .. } => "Welcome",
            Self::Release { .. } => "Release",
            Self::Decisions { .. } => "Decisions",
            Self::Refused { .. } => "Refused",
            Self::Bye { .. } => "Bye",
        }
    }

    /// The tick it is about, if any.
    pub fn tick(&self) -> Option<Tick> {
        match self {
            Self::Telemetry { tick, .. }
            | Self::EndOfTick { tick, .. }
            | Self::Outcomes { tick, .. }
            | Self::Release { tick }
            | Self::Decisions { tick, .. } => Some(*tick),
            _ => None,
        }
    }

    /// This message as one frame.
    ///
    /// # Errors
    /// A list or batch over its cap, or a decision with more than three rejected alternatives.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        let mut out = BytesMut::new();
        self.encode_into(&mut out)?;
        Ok(out.freeze())
    }

    /// Appends this message as one frame, so that several go out in one write.
    ///
    /// # Errors
    /// As [`Self::encode`]; `out` is then as it was.
    pub fn encode_into(&self, out: &mut BytesMut) -> Result<(), WireError> {
        let start = out.len();
        out.put_u32_le(0);
        let encoded = self.encode_body(out);
        let len = out.len() - start - LENGTH_BYTES;
        let checked = match encoded {
            Ok(()) if len > MAX_FRAME_BYTES => {
                Err(WireError::FrameTooLong { len: len as u64, max: MAX_FRAME_BYTES })
            }
            encoded => encoded,
        };
        if checked.is_err() {
            out.truncate(start);
        } else {
            out[start..start + LENGTH_BYTES].copy_from_slice(&(len as u32).to_le_bytes());
        }
        checked
    }

    fn encode_body(&self, out: &mut BytesMut) -> Result<(), WireError> {
        match self {
            Self::AgentHello { protocol, host, next_tick, schema } => {
                out.put_u8(kind::AGENT_HELLO);
                out.put_u32_le(*protocol);
                out.put_u32_le(host.0);
                out.put_u64_le(next_tick.0);
                out.put_slice(schema);
            }
            Self::Telemetry { tick, ipc } => {
                out.put_u8(kind::TELEMETRY);
                out.put_u64_le(tick.0);
                out.put_slice(ipc);
            }
            Self::EndOfTick { tick, rows } => {
                out.put_u8(kind::END_OF_TICK);
                out.put_u64_le(tick.0);
                out.put_u32_le(*rows);
            }
            Self::Subscribe { protocol, rack, controller, last_seq, epoch } => {
                out.put_u8(kind::SUBSCRIBE);
                out.put_u32_le(*protocol);
                out.put_u32_le(rack.0);
                out.put_u32_le(controller.0);
                out.put_u64_le(*last_seq);
                out.put_u64_le(*epoch);
            }
            Self::Outcomes { tick, outcomes } => {
                put_list_head(out, kind::OUTCOMES, *tick, "Outcomes", outcomes.len())?;
                outcomes.iter().for_each(|o| out.put_slice(&decision::encode_outcome(o)));
            }
            Self::Welcome { epoch } => {
                out.put_u8(kind::WELCOME);
                out.put_u64_le(*epoch);
            }
            Self::Release { tick } => {
                out.put_u8(kind::RELEASE);
                out.put_u64_le(tick.0);
            }
            Self::Decisions { tick, decisions } => {
                put_list_head(out, kind::DECISIONS, *tick, "Decisions", decisions.len())?;
                for d in decisions {
                    out.put_slice(&decision::encode_decision(d)?);
                }
            }
            Self::Refused { code, text } => {
                out.put_u8(kind::REFUSED);
                out.put_u16_le(*code as u16);
                out.put_slice(clip(text).as_bytes());
            }
            Self::Bye { text } => {
                out.put_u8(kind::BYE);
                out.put_slice(clip(text).as_bytes());
            }
        }
        Ok(())
    }

    /// The message in a frame.
    ///
    /// # Errors
    /// Says which field of which message is wrong.
    pub fn decode(frame: Frame) -> Result<Self, WireError> {
        match frame.kind {
            kind::AGENT_HELLO => {
                let mut c = Cursor::new("AgentHello", frame.payload);
                let (protocol, host) = (c.u32()?, HostId(c.u32()?));
                Ok(Self::AgentHello { protocol, host, next_tick: Tick(c.u64()?), schema: c.rest() })
            }
            kind::TELEMETRY => {
                let mut c = Cursor::new("Telemetry", frame.payload);
                Ok(Self::Telemetry { tick: Tick(c.u64()?), ipc: c.rest() })
            }
            kind::END_OF_TICK => {
                let mut c = Cursor::new("EndOfTick", frame.payload);
                let (tick, rows) = (Tick(c.u64()?), c.u32()?);
                c.end().map(|()| Self::EndOfTick { tick, rows })
            }
            kind::SUBSCRIBE => decode_subscribe(Cursor::new("Subscribe", frame.payload)),
            kind::OUTCOMES => {
                let c = Cursor::new("Outcomes", frame.payload);
                let (tick, outcomes) = list(c, "Outcomes", OUTCOME_BYTES, decision::decode_outcome)?;
                Ok(Self::Outcomes { tick, outcomes })
            }
            kind::WELCOME => {
                let mut c = Cursor::new("Welcome", frame.payload);
                let epoch = c.u64()?;
                c.end().map(|()| Self::Welcome { epoch })
            }
            kind::RELEASE => {
                let mut c = Cursor::new("Release", frame.payload);
                let tick = Tick(c.u64()?);
                c.end().map(|()| Self::Release { tick })
            }
            kind::DECISIONS => {
                let c = Cursor::new("Decisions", frame.payload);
                let (tick, decisions) = list(c, "Decisions", DECISION_BYTES, decision::decode_decision)?;
                Ok(Self::Decisions { tick, decisions })
            }
            kind::REFUSED => {
                let mut c = Cursor::new("Refused", frame.payload);
                let value = u64::from(c.u16()?);
                let code = RefusalCode::from_number(value)
                    .ok_or(WireError::BadValue { what: "Refused code", value })?;
                Ok(Self::Refused { code, text: c.text(MAX_TEXT_BYTES)? })
            }
            kind::BYE => Ok(Self::Bye { text: Cursor::new("Bye", frame.payload).text(MAX_TEXT_BYTES)? }),
            kind => Err(WireError::UnknownKind { kind }),
        }
    }
}

fn decode_subscribe(mut c: Cursor) -> Result<Message, WireError> {
    let protocol = c.u32()?;
    let (rack, controller) = (RackId(c.u32()?), ControllerId(c.u32()?));
    let (last_seq, epoch) = (c.u64()?, c.u64()?);
    c.end().map(|()| Message::Subscribe { protocol, rack, controller, last_seq, epoch })
}

fn put_list_head(
    out: &mut BytesMut,
    kind: u8,
    tick: Tick,
    what: &'static str,
    count: usize,
) -> Result<(), WireError> {
    if count > MAX_PER_TICK {
        return Err(WireError::TooMany { what, count: count as u64, max: MAX_PER_TICK });
    }
    out.put_u8(kind);
    out.put_u64_le(tick.0);
    out.put_u32_le(count as u32);
    Ok(())
}

/// `[u64 tick][u32 count][count items of `item_bytes`]`, nothing after.
fn list<T>(
    mut c: Cursor,
    what: &'static str,
    item_bytes: usize,
    decode: fn(&[u8]) -> Result<T, WireError>,
) -> Result<(Tick, Vec<T>), WireError> {
    let (tick, count) = (Tick(c.u64()?), c.u32()?);
    if count as usize > MAX_PER_TICK {
        return Err(WireError::TooMany { what, count: u64::from(count), max: MAX_PER_TICK });
    }
    let items = c.take(count as usize * item_bytes)?;
    c.end()?;
    let decoded = items.chunks_exact(item_bytes).map(decode).collect::<Result<_, _>>()?;
    Ok((tick, decoded))
}

/// The longest head of `text` that fits [`MAX_TEXT_BYTES`].
fn clip(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
