//! Which fields of a variable an expression names, so that no more of a large value need be made for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ast::Node;
use crate::value::Value;

/// The fields of one variable; nothing where the variable is used as a whole.
pub(crate) type Fields = Option<BTreeSet<Arc<str>>>;

/// The fields of each of so many variables that a program names.
pub(crate) fn of(root: &Node, variables: usize) -> Vec<Fields> {
    let mut found = vec![Some(BTreeSet::new()); variables];
    visit(root, &mut found);
    found
}

fn visit(node: &Node, found: &mut [Fields]) {
    match node {
        Node::Variable(at) => {
            if let Some(fields) = found.get_mut(*at) {
                *fields = None;
            }
        }
        Node::Select { operand, field, .. } | Node::Has { operand, field, .. } => {
            named(operand, field, found);
        }
        Node::Index { operand, index, .. } if matches!(**index, Node::Literal(Value::String(_))) => {
            if let Node::Literal(Value::String(field)) = &**index {
                named(operand, field, found);
            }
        }
        other => other.below().into_iter().for_each(|node| visit(node, found)),
    }
}

fn named(operand: &Node, field: &Arc<str>, found: &mut [Fields]) {
    let Node::Variable(at) = operand else { return visit(operand, found) };
    if let Some(Some(fields)) = found.get_mut(*at) {
        fields.insert(Arc::clone(field));
    }
}

#[cfg(test)]
mod tests {
    use crate::Environment;

    #[test]
    fn fields_are_told_only_where_nothing_else_of_the_variable_is_used() {
        for (source, expected) in [
            ("body.ref == 'x' && body.commits.exists(c, c.id == body['after'])", Some("after commits ref")),
            ("has(body.head) && body.?base.orValue('') == ''", Some("base head")),
            ("header.size() > 0", Some("")),
            ("body.commits.all(c, c in body.ids) ? [body.a] : [{'k': body.b}]", Some("a b commits ids")),
            ("cel.bind(all, body.c, all.size())", Some("c")),
            ("cel.bind(all, body, all.c)", None),
            ("body.ref == 'x' || body.size() > 3", None),
            ("body[header.name] == 1", None),
            ("'ref' in body", None),
            ("body.exists(key, key == 'a')", None),
            ("[body]", None),
            ("body == header", None),
        ] {
            let program = Environment::kubernetes().compile(source, &["body", "header"]).unwrap();
            let fields = program
                .fields("body")
                .map(|fields| fields.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
            assert_eq!(fields.as_deref(), expected, "{source}");
        }
    }
}
