//! Rust source as tokens: as much of a lexer as finding paths needs.

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    /// A word, `::`, or one character.
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// Words and punctuation; comments, literals and lifetimes are left out.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let s: Vec<char> = source.chars().collect();
    let at = |i: usize| s.get(i).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    // The end of a string whose opening quote is at `i`.
    let string = |mut i: usize| {
        i += 1;
        while i < s.len() && s[i] != '"' {
            i += if s[i] == '\\' { 2 } else { 1 };
        }
        i + 1
    };
    let (mut out, mut i, mut line) = (Vec::new(), 0, 1);
    while i < s.len() {
        let start = i;
        let mut text = String::new();
        match s[i] {
            '/' if at(i + 1) == '/' => {
                while i < s.len() && s[i] != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= s.len() {
                        break;
                    }
                }
            }
            '"' => i = string(i),
            '\'' if at(i + 1) == '\\' => {
                i += 3; // past the escaped character, which may be a quote
                while i < s.len() && s[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            '\'' => {
                i += 1;
                while word(at(i)) {
                    i += 1;
                }
            }
            ':' if at(i + 1) == ':' => {
                text.push_str("::");
                i += 2;
            }
            c if word(c) => {
                while word(at(i)) {
                    i += 1;
                }
                text.extend(&s[start..i]);
                let hashes = s[i..].iter().take_while(|&&c| c == '#').count();
                let quoted = at(i + hashes) == '"';
                if quoted && ["r", "br", "cr"].contains(&text.as_str()) {
                    text.clear();
                    let end: String = format!("\"{}", "#".repeat(hashes));
                    let end: Vec<char> = end.chars().collect();
                    i += hashes + 1;
                    while i < s.len() && !s[i..].starts_with(&end) {
                        i += 1;
                    }
                    i += end.len();
                } else if at(i) == '"' && ["b", "c"].contains(&text.as_str()) {
                    text.clear();
                    i = string(i);
                } else if hashes == 1 && text == "r" && word(at(i + 1)) {
                    text.clear(); // r#name: the name comes next
                    i += 1;
                }
            }
            c => {
                if !c.is_whitespace() {
                    text.push(c);
                }
                i += 1;
            }
        }
        if !text.is_empty() {
            out.push(Token { text, line });
        }
        line += s[start..i.min(s.len())].iter().filter(|&&c| c == '\n').count();
    }
    out
}

pub(crate) fn text(tokens: &[Token], i: usize) -> &str {
    tokens.get(i).map_or("", |t| &t.text)
}

/// The index after the group that opens at `i`.
pub(crate) fn after_group(tokens: &[Token], mut i: usize) -> usize {
    let mut depth = 0;
    while i < tokens.len() {
        match text(tokens, i) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        i += 1;
        if depth == 0 {
            break;
        }
    }
    i
}

/// Whether an attribute's tokens are a `cfg` that only a test build can satisfy.
fn is_cfg_test(attribute: &[Token]) -> bool {
    let mut i = 1;
    while i < attribute.len() && text(attribute, 0) == "cfg" {
        match text(attribute, i) {
            "not" | "any" => i = after_group(attribute, i + 1),
            "test" => return true,
            _ => i += 1,
        }
    }
    false
}

/// The index after the item, field or arm that starts at `i`.
fn after_item(tokens: &[Token], mut i: usize) -> usize {
    while text(tokens, i) == "#" {
        i = after_group(tokens, i + 1);
    }
    if text(tokens, i) == "pub" {
        i += 1;
        if text(tokens, i) == "(" {
            i = after_group(tokens, i);
        }
    }
    let items =
        "mod use fn impl struct enum union trait type const static macro_rules extern unsafe async let";
    let item = items.split(' ').any(|word| word == text(tokens, i));
    while i < tokens.len() {
        match text(tokens, i) {
            ";" => return i + 1,
            "," if !item => return i + 1,
            "}" | ")" | "]" => return i,
            "{" => return after_group(tokens, i),
            "(" | "[" => i = after_group(tokens, i),
            _ => i += 1,
        }
    }
    i
}

/// What is compiled without `cfg(test)`, and the names of the files' modules that are not.
pub(crate) fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut kept, mut modules, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        let inner = text(tokens, i + 1) == "!";
        let open = i + 1 + usize::from(inner);
        if text(tokens, i) == "#" && text(tokens, open) == "[" {
            let end = after_group(tokens, open);
            if is_cfg_test(&tokens[open + 1..end]) {
                let item_end = if inner { tokens.len() } else { after_item(tokens, end) };
                if let [.., module, name, semicolon] = &tokens[end..item_end]
                    && (module.text.as_str(), semicolon.text.as_str()) == ("mod", ";")
                {
                    modules.push(name.text.clone());
                }
                i = item_end;
                continue;
            }
        }
        kept.push(tokens[i].clone());
        i += 1;
    }
    (kept, modules)
}
