//! The terminal: taken when a screen opens, given back when it goes, whatever ends the run.

use std::io::{self, IsTerminal, stdout};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::draw::draw;
use super::live::Shared;
use super::state::{Act, Key, Stage};
use crate::Failure;
use crate::view::out;

/// A frame is drawn this often, and at once after a key.
const FRAME: Duration = Duration::from_millis(100);

/// Is the terminal ours?
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Can this process show the view? Both ends are a terminal that understands more than lines.
pub(crate) fn wanted() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|t| t.is_empty() || t == "dumb");
    !dumb && stdout().is_terminal() && io::stdin().is_terminal()
}

/// May colours be used? See no-color.org.
pub(crate) fn colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// What the screen asks of the run. Called from the screen's own thread: return soon.
pub(crate) trait Orders: Send {
    /// End it.
    fn quit(&mut self);

    /// Do what a key of the operator asks; says in one line what came of it.
    fn order(&mut self, order: Order) -> String;
}

/// What an operator's key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Stop acting, or act again.
    PauseActing,
    /// Carry out what is only advised.
    Approve(foreshade_types::DecisionId),
}

/// A terminal that shows a state until it is dropped.
#[derive(Debug)]
pub(crate) struct Screen {
    shared: Shared,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// A terminal that cannot be taken.
    pub(crate) fn open(shared: Shared, orders: Box<dyn Orders>) -> Result<Self, Failure> {
        let cannot = |e: io::Error| Failure::Failed(format!("cannot use the terminal: {e}; give --plain"));
        restore_on_panic();
        enable_raw_mode().map_err(cannot)?;
        TAKEN.store(true, Ordering::SeqCst);
        out::hold();
        let closing = Arc::new(AtomicBool::new(false));
        let mut screen = Self { shared: shared.clone(), closing: Arc::clone(&closing), thread: None };
        // From here on a failure gives back what was taken: `screen` is dropped.
        execute!(stdout(), EnterAlternateScreen).map_err(cannot)?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout())).map_err(cannot)?;
        let run = move || show(terminal, &shared, &closing, orders);
        screen.thread = Some(std::thread::Builder::new().name("screen".into()).spawn(run).map_err(cannot)?);
        Ok(screen)
    }

    /// Waits until its viewer has seen enough, or `over` says that nobody looks any more.
    pub(crate) fn wait(&self, mut over: impl FnMut() -> bool) {
        self.shared.lock().facts.stage = Stage::Done;
        while self.thread.as_ref().is_some_and(|t| !t.is_finished()) && !over() {
            std::thread::sleep(FRAME / 2);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // Its panic has been told by the hook; the run stands.
            let _ = thread.join();
        }
        give_back();
        out::let_go();
    }
}

/// Gives the terminal back, once.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs nothing.
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// A panic of any thread is told on a terminal that works.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
    });
}

/// Draws and takes keys until it is told to close. A terminal that is gone ends the run.
fn show(
    mut terminal: Terminal<CrosstermBackend<io::Stdout>>,
    shared: &Shared,
    closing: &AtomicBool,
    mut orders: Box<dyn Orders>,
) {
    while !closing.load(Ordering::SeqCst) && TAKEN.load(Ordering::SeqCst) {
        // A copy, so that the run does not wait for a slow terminal.
        let state = shared.lock().clone();
        let drawn = terminal.draw(|f| draw(&state, f.area(), f.buffer_mut()));
        let Ok(event) = drawn.and_then(|_| event::poll(FRAME)?.then(event::read).transpose()) else {
            return orders.quit();
        };
        let Some(key) = event.and_then(|e| key(&e)) else { continue };
        // Bound first, so that the state is free while the order is carried out.
        let act = shared.lock().key(key);
        let said = match act {
            Act::None => continue,
            Act::Quit if shared.lock().facts.stage == Stage::Done => return,
            Act::Quit => {
                shared.lock().facts.stage = Stage::Stopping;
                orders.quit();
                "stopping; the report so far is made".into()
            }
            Act::PauseActing => orders.order(Order::PauseActing),
            Act::Approve(id) => orders.order(Order::Approve(id)),
        };
        shared.lock().said = said;
    }
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) =
        event
    else {
        return None;
    };
    let ctrl = modifiers.contains(KeyModifiers::CONTROL);
    Some(match code {
        // A terminal in this mode sends Ctrl-C as a key.
        KeyCode::Char('c' | 'd') if ctrl => Key::Char('q'),
        KeyCode::Char(_) if ctrl => return None,
        KeyCode::Char(c) => Key::Char(*c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        _ => return None,
    })
}
