//! asyncio's topics one by one, each beside the Python that does the same: `cargo run --example asyncio gather`, and
//! `python3 examples/asyncio/gather.py`. What both print is in `gather.txt`; where Python prints it otherwise, that is in
//! `gather.py.txt`. docs/from-asyncio.md has the table.
#![forbid(unsafe_code)]

macro_rules! snippets {
    ($($name:ident)*) => {
        $(mod $name;)*
        const SNIPPETS: &[(&str, fn())] = &[$((stringify!($name), $name::run)),*];
    };
}

snippets! {
    generators yield_from tasks cancel exceptions timeouts event_loop gather queues network database files threads processes
    context testing
}

fn main() {
    let wanted = std::env::args().nth(1);
    let names: Vec<&str> = SNIPPETS.iter().map(|(name, _)| *name).collect();
    match wanted.as_deref().map(|wanted| SNIPPETS.iter().find(|(name, _)| *name == wanted)) {
        Some(Some((_, run))) => run(),
        None => SNIPPETS.iter().for_each(|(name, run)| {
            println!("-- {name}");
            run();
        }),
        Some(None) => {
            eprintln!("usage: asyncio [{}]", names.join(" | "));
            std::process::exit(2);
        }
    }
}
