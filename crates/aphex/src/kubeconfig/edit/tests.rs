//! Edits of kubeconfigs as people have them; the bytes that stay are compared one by one.

use proptest::prelude::*;

use super::*;

const SERVER: &[Step<'_>] = &[Key("clusters"), Named("aphex"), Key("cluster"), Key("server")];
const USER: &[Step<'_>] = &[Key("users"), Named("aphex"), Key("user")];

fn server() -> Yaml {
    Yaml::text("https://127.0.0.1:7443")
}

fn user() -> Yaml {
    let args = ["oidc-login", "get-token", "--oidc-issuer-url=https://dex.home.local"];
    let exec =
        Yaml::map([("command", Yaml::text("kubectl")), ("args", Yaml::List(args.map(Yaml::text).into()))]);
    Yaml::map([("exec", exec)])
}

#[test]
fn a_new_file_is_written_as_people_write_it() {
    let text = set("", USER, &user()).unwrap();
    let wanted = "users:\n  - name: aphex\n    user:\n      exec:\n        command: kubectl\n        args:\n          - oidc-login\n          - get-token\n          - --oidc-issuer-url=https://dex.home.local\n";
    assert_eq!(text, wanted);
    assert_eq!(set("# mine\n", &[Key("kind")], &Yaml::text("Config")).unwrap(), "# mine\nkind: Config\n");
}

#[test]
fn comments_order_and_odd_spacing_stay() {
    let before = "# my clusters\napiVersion: v1\nusers:   # people\n-   name: me # myself\n    user:\n        token: \"a: b\"   # do not lose\n\n# the end of people\ncurrent-context: me\nx-unknown: {a: [1, 2]}\n";
    let after = set(before, USER, &user()).unwrap();
    let added = "- name: aphex\n  user:\n    exec:\n      command: kubectl\n      args:\n        - oidc-login\n        - get-token\n        - --oidc-issuer-url=https://dex.home.local\n";
    let (head, tail) = before.split_at(before.find("\n# the end").unwrap());
    assert_eq!(after, format!("{head}{added}{tail}"));
}

#[test]
fn of_an_entry_of_ours_only_what_changed_is_written() {
    let before = "clusters:\n- cluster:\n    # how to get there\n    server: https://old   # old\n    proxy-url: http://proxy\n  name: aphex\n  x: 1\n- name: other\n  cluster: {server: https://other}\n";
    let after = set(before, SERVER, &server()).unwrap();
    assert_eq!(after, before.replace("https://old  ", "https://127.0.0.1:7443  "));
    assert_eq!(set(&after, SERVER, &server()).unwrap(), after, "a second time changes nothing");
}

#[test]
fn brackets_and_empty_values_are_written_out() {
    for before in [
        "clusters: []\nkind: Config\n",
        "clusters:\nkind: Config\n",
        "clusters: null\nkind: Config\n",
        "clusters: ~ # none\nkind: Config",
        "clusters:\n- {name: aphex, cluster: {server: a, b: [1]}}\nkind: Config\n",
        "clusters:\n- name: aphex\n  cluster: {}\nkind: Config\n",
        "clusters:\n- name: aphex\n  cluster:\nkind: Config\n",
        "clusters:\n- name: aphex\nkind: Config\n",
        "clusters: [{name: aphex, cluster: {server: a}}, {name: b}]\n",
        "{\"clusters\": [{\"name\": \"aphex\", \"cluster\": {\"server\": \"a\"}}], \"users\": null}",
        "--- # begin\nkind: Config\n...\n",
        "\"clusters\":\n  - 'name': 'aphex'\n    \"cluster\":\n      \"server\": |\n        a\n      c: d\n",
        "clusters:\r\n- name: aphex\r\n  cluster:\r\n    server: a\r\nkind: Config\r\n",
    ] {
        let after = set(before, SERVER, &server()).unwrap_or_else(|error| panic!("{before:?}: {error}"));
        assert_eq!(find(&read(&after).unwrap(), SERVER), Some(&json!("https://127.0.0.1:7443")), "{after}");
        let gone = remove(&after, SERVER).unwrap();
        assert_eq!(find(&read(&gone).unwrap(), SERVER), None, "{gone}");
    }
}

#[test]
fn what_cannot_be_changed_safely_is_left_alone() {
    let anchored = "clusters:\n- name: aphex\n  cluster: &here\n    server: a\n- name: b\n  cluster: *here\n";
    assert!(matches!(set(anchored, SERVER, &server()), Err(EditError::Unsafe)));
    for text in ["a: 1\n---\nb: 2\n", "- a\n", "a: [", "just text", "a: 1\na: 2\n"] {
        assert!(set(text, SERVER, &server()).is_err(), "{text}");
    }
    let deep = format!("a: {}", "[".repeat(5000));
    assert!(set(&deep, SERVER, &server()).is_err());
}

#[test]
fn taking_a_value_away_takes_its_line() {
    let before =
        "clusters:\n- cluster:\n    certificate-authority: /ca.crt # file\n    server: a\n  name: aphex\n";
    let path = [Key("clusters"), Named("aphex"), Key("cluster"), Key("certificate-authority")];
    let after = remove(before, &path).unwrap();
    assert_eq!(after, "clusters:\n- cluster:\n    server: a\n  name: aphex\n");
    assert_eq!(remove(&after, &path).unwrap(), after);
}

/// A scalar as people write it, and a comment or none.
fn scalars() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9.-]{0,12}",
        "\"[a-z: #]{0,8}\"",
        "'[a-z: #]{0,8}'",
        Just("[1, {a: b}]".to_owned()),
        Just(String::new()),
        Just("|\n      line\n      more".to_owned()),
    ]
}

fn comments() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "  # [a-z ]{0,10}", Just("\n\n# between".to_owned())]
}

/// A key, its value, and what is noted beside it.
fn fields() -> impl Strategy<Value = (String, String, String)> {
    let field = ("[a-z]{3,8}", scalars(), comments());
    field.prop_filter("a block takes no comment", |(_, value, comment)| {
        !value.contains('\n') || comment.is_empty()
    })
}

/// A kubeconfig with some lists, some entries, and anything between them.
fn files() -> impl Strategy<Value = String> {
    let item = (0..3_usize, fields(), any::<bool>());
    let list = (prop::collection::vec(item, 0..4), any::<bool>(), comments());
    (prop::collection::vec(list, 0..3), fields()).prop_map(|(lists, (key, value, comment))| {
        let mut text = format!("zz{key}: {value}{comment}\n").replace("\n      ", "\n  ");
        for ((items, indented, note), name) in lists.into_iter().zip(["clusters", "users", "contexts"]) {
            text += &[name, ":", if items.is_empty() { " []" } else { "" }, &note, "\n"].concat();
            let space = if indented { "  " } else { "" };
            for (at, (which, (key, value, comment), first)) in items.into_iter().enumerate() {
                // Of the names, one may be ours, once.
                let owner = if which == 0 && at == 0 { "aphex".to_owned() } else { format!("other-{at}") };
                let body = format!("{space}  cluster:\n{space}    x{key}: {value}{comment}\n");
                let body = body.replace("\n      ", &format!("\n{space}      "));
                if first {
                    text += &[space, "- name: ", &owner, "\n", &body].concat();
                } else {
                    text += &[space, "- ", body.trim_start(), space, "  name: ", &owner, "\n"].concat();
                }
            }
        }
        text
    })
}

proptest! {
    /// Whatever is in a file: it is changed as meant, and every line that says something else stays as it is.
    #[test]
    fn an_edit_keeps_every_line_it_does_not_write(before in files()) {
        prop_assume!(read(&before).is_ok());
        let after = set(&before, SERVER, &server()).unwrap();
        let value = read(&after).unwrap();
        prop_assert_eq!(find(&value, SERVER), Some(&json!("https://127.0.0.1:7443")));
        let mut rest = after.lines();
        for line in before.lines().filter(|line| !line.starts_with("clusters:")) {
            prop_assert!(rest.any(|kept| kept == line), "lost {line:?} of:\n{before}\nin:\n{after}");
        }
        prop_assert_eq!(set(&after, SERVER, &server()).unwrap(), after);
    }

    /// No text makes it panic or write something else than was meant.
    #[test]
    fn any_text_is_changed_as_meant_or_refused(text in "([a-z\"'|>&*#\\[\\]{},:? -]|\n){0,60}") {
        if let (Ok(before), Ok(after)) = (read(&text), set(&text, SERVER, &server())) {
            let mut wanted = before;
            place(&mut wanted, SERVER, json!("https://127.0.0.1:7443"));
            prop_assert_eq!(read(&after).unwrap(), wanted);
        }
        let _ = remove(&text, SERVER);
    }
}
