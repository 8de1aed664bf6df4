//! What an operator does in a script: `order pause at 150`, `order approve migrate a at 160`.

use foreshade_appliance_core::{Core, Effect, Event, Order};

use super::script::{Parsed, Script, Words};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Send nothing.
    Pause,
    /// Go on.
    Resume,
    /// Let an advised action of a VM through: action and VM.
    Approve(String, String),
    /// Turn it down.
    Dismiss(String, String),
}

/// An order of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptOrder {
    /// What.
    pub asked: Asked,
    /// Between this tick's plan and the next one.
    pub at: u64,
}

impl ScriptOrder {
    /// `pause|resume|approve ACTION VM|dismiss ACTION VM at TICK`
    pub(super) fn parse(w: &mut Words<'_>) -> Parsed<Self> {
        let of = |w: &mut Words<'_>| -> Parsed<(String, String)> {
            Ok((w.word("the action")?.to_owned(), w.word("the VM's name")?.to_owned()))
        };
        let asked = match w.word("the order")? {
            "pause" => Asked::Pause,
            "resume" => Asked::Resume,
            "approve" => of(w).map(|(a, vm)| Asked::Approve(a, vm))?,
            "dismiss" => of(w).map(|(a, vm)| Asked::Dismiss(a, vm))?,
            o => return Err(format!("order {o:?} is not pause, resume, approve or dismiss")),
        };
        w.keyword("at")?;
        Ok(Self { asked, at: w.number("the tick")? })
    }

    /// Gives the order to the appliance; what came of it, in words.
    pub(super) fn give(&self, core: &mut Core, script: &Script) -> String {
        let find = |action: &str, vm: &str| {
            let named = |a: &&foreshade_appliance_core::Advice| {
                let name = script.vms.get(a.planned.vm.index()).map_or("", |v| &v.name);
                a.planned.action.name() == action && name == vm
            };
            core.operator().advised().iter().find(named).map(|a| a.key)
        };
        let (order, said) = match &self.asked {
            Asked::Pause => (Some(Order::Pause), "pause".to_owned()),
            Asked::Resume => (Some(Order::Resume), "resume".to_owned()),
            Asked::Approve(a, vm) => (find(a, vm).map(Order::Approve), format!("approve {a} of {vm}")),
            Asked::Dismiss(a, vm) => (find(a, vm).map(Order::Dismiss), format!("dismiss {a} of {vm}")),
        };
        let Some(order) = order else { return format!("operator: {said}: it is not advised") };
        let done = core.apply(Event::Operator { who: "script".into(), order });
        match done.as_deref() {
            Ok([Effect::OrderRefused { text, .. }]) => format!("operator: {said}: {text}"),
            _ => format!("operator: {said}"),
        }
    }
}
