//! The dump for tools.

#![forbid(unsafe_code)]

use core::fmt::{self, Display, Write};
use core::panic::Location;
use core::time::Duration;

use super::TaskDump;
use super::record::{RunState, TaskRecord};
use super::symbols::Symbol;

/// A string, quoted and escaped.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\u{0}'..' ' | '\u{7f}'..'\u{a0}' | '\u{2028}' | '\u{2029}' => {
                    write!(f, "\\u{:04x}", u32::from(c))?
                }
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Something, or `null`.
struct Maybe<T>(Option<T>);

impl<T: Display> Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// `[a,b,c]`
struct Array<I>(I);

impl<I: Iterator<Item: Display> + Clone> Display for Array<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = '[';
        for item in self.0.clone() {
            write!(f, "{separator}{item}")?;
            separator = ',';
        }
        f.write_str(if separator == '[' { "[]" } else { "]" })
    }
}

fn millis(span: Option<Duration>) -> Maybe<u128> {
    Maybe(span.map(|span| span.as_millis()))
}

struct Place(&'static Location<'static>);

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, line, column) = (Text(self.0.file()), self.0.line(), self.0.column());
        write!(f, r#"{{"file":{file},"line":{line},"column":{column}}}"#)
    }
}

struct Frame<'a>(&'a Symbol);

impl Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Symbol { address, function, file, line, column, .. } = self.0;
        let text = |text: &'_ Option<String>| Maybe(text.as_deref().map(Text)).to_string();
        write!(
            f,
            r#"{{"function":{},"file":{},"line":{},"column":{},"address":"{address:#x}"}}"#,
            text(function),
            text(file),
            Maybe(*line),
            Maybe(*column)
        )
    }
}

struct Task<'a>(&'a TaskDump, &'a TaskRecord);

impl Display for Task<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Task(dump, task) = *self;
        let waits = task.run == RunState::Waits;
        write!(f, r#"{{"id":{},"name":{},"#, task.id, Maybe(task.name.as_deref().map(Text)))?;
        write!(f, r#""runtime":{},"worker":{},"state":"{}","#, task.runtime, task.worker, task.run.text())?;
        let reason = waits.then(|| task.reason.text()).map(Text);
        write!(f, r#""reason":{},"waits_in":{},"#, Maybe(reason), Maybe(waits.then(|| Text(task.words()))))?;
        write!(f, r#""held_by":{},"#, Array(dump.needed_by(task).iter()))?;
        write!(
            f,
            r#""since_ms":{},"left_ms":{},"timeout_ms":{},"#,
            millis(task.since),
            millis(task.left),
            millis(task.timeout)
        )?;
        write!(
            f,
            r#""spawned_at":{},"parent":{},"scoped":{},"#,
            Place(task.spawned_at),
            Maybe(task.parent),
            task.structured
        )?;
        write!(
            f,
            r#""cancelled":{},"shielded":{},"unwinding":{},"#,
            task.cancelled, task.shielded, task.unwinding
        )?;
        let stack = task.stack.map(|(used, size)| format!(r#"{{"used":{used},"size":{size}}}"#));
        write!(f, r#""stack":{},"backtrace":{}}}"#, Maybe(stack), Maybe(task.stack_number))
    }
}

pub(super) fn of(dump: &TaskDump) -> String {
    let runtimes = dump.runtimes.iter().map(|runtime| {
        let workers = runtime.workers.iter().map(|state| format!("\"{}\"", state.text()));
        format!(r#"{{"name":{},"workers":{}}}"#, Text(&runtime.name), Array(workers))
    });
    let tasks = dump.tasks.iter().map(|task| Task(dump, task));
    let backtraces = dump.stacks.iter().map(|stack| Array(stack.frames().iter().map(Frame)).to_string());
    let cycles = dump.cycles.iter().map(|cycle| Array(cycle.iter()).to_string());
    format!(
        r#"{{"pid":{},"runtimes":{},"tasks":{},"unlisted":{},"backtraces":{},"cycles":{}}}"#,
        std::process::id(),
        Array(runtimes),
        Array(tasks),
        dump.unlisted,
        Array(backtraces),
        Array(cycles)
    )
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    // That it can be read back: `tests/dump.rs`, whose reader would make the comparisons of this crate's own tests ambiguous.
    #[test]
    fn strings_are_escaped() {
        let text = Text("a\"b\\c\nd\te\u{1}é\u{2028}").to_string();
        assert_eq!(text, r#""a\"b\\c\nd\u0009e\u0001é\u2028""#);
    }

    #[test]
    fn nothing_is_an_empty_object() {
        let json = of(&TaskDump::default());
        let rest = r#","runtimes":[],"tasks":[],"unlisted":0,"backtraces":[],"cycles":[]}"#;
        assert_eq!(json, format!(r#"{{"pid":{}{rest}"#, std::process::id()));
    }
}
