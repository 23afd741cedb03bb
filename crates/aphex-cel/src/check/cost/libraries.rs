//! The cost of functions beyond the standard ones: Kubernetes' libraries, and cel-go's lists and sets.
//!
//! Factors are those of `k8s.io/apiserver/pkg/cel/library/cost.go` and of cel-go's `ext/lists.go` and `ext/sets.go`.

use cel::common::ast::operators as op;

use super::calls::{Call, Estimate};
use super::{Argument, Estimation, LIST, ONE, PATTERN, Range, TRAVERSAL};
use crate::check::tree::Expr;
use crate::check::types::Kind;
use crate::value::Value;

/// Functions that only look something up.
const CHEAP: &[&str] = &[
    "serviceAccount",
    "path",
    "group",
    "resource",
    "subresource",
    "namespace",
    "name",
    "allowed",
    "reason",
    "error",
    "errored",
    "masked",
    "prefixLength",
    "family",
    "isUnspecified",
    "isLoopback",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isGlobalUnicast",
    "format.named",
    "sign",
    "asInteger",
    "isInteger",
    "asApproximateFloat",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "add",
    "sub",
    "major",
    "minor",
    "patch",
    "getScheme",
    "getHostname",
    "getHost",
    "getPort",
    "getEscapedPath",
    "getQuery",
];

/// Functions that read a text once.
const READERS: &[&str] = &["cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver", "ip"];

impl<'a> Estimation<'a> {
    /// Functions of cel-go's extensions, which say themselves what they cost.
    pub(super) fn extension(&self, call: &Call<'a>, overload: &str) -> Option<Estimate> {
        let made = |factor: f64, size: Range| Estimate::sized(size.scaled(factor).plus(ONE).plus(LIST), size);
        let size = |argument: &Argument<'a>| self.known(argument);
        let squared = |factor, size: Range| made(factor, size.times(size));
        if let [first, second] = call.arguments.as_slice()
            && overload.starts_with("list_sets_")
        {
            let factor = if overload == "list_sets_equivalent_list" { 2.0 } else { 1.0 };
            return Some(Estimate::of(size(first).times(size(second)).scaled(factor).plus(ONE)));
        }
        Some(match (overload, &call.target, call.arguments.as_slice()) {
            ("list_slice", Some(target), [from, to]) => {
                let (from, to) = (self.whole(from, 0), self.whole(to, size(target).max));
                made(1.0, Range::exactly(to.wrapping_sub(from)))
            }
            ("lists_range", None, [count]) => made(1.0, Range::exactly(self.whole(count, u64::MAX))),
            ("list_reverse" | "list_flatten", Some(target), []) => made(1.0, size(target)),
            ("list_flatten_int", Some(target), [depth]) => {
                made(float(self.whole(depth, u64::MAX)), size(target))
            }
            ("list_distinct", Some(target), []) => squared(2.0, size(target)),
            (name, Some(target), []) if name.starts_with("list_") && name.ends_with("_sort") => {
                squared(sort_factor(name), size(target))
            }
            (name, Some(_), [keys]) if name.ends_with("_sortByAssociatedKeys") => {
                squared(sort_factor(name), size(keys))
            }
            _ => return None,
        })
    }

    fn known(&self, argument: &Argument<'a>) -> Range {
        argument.size.or_else(|| self.declared_size(&argument.path)).unwrap_or(Range::UNKNOWN)
    }

    /// The number an argument is written as, or this.
    fn whole(&self, argument: &Argument<'a>, otherwise: u64) -> u64 {
        match argument.id.map(|id| self.typed.tree.get(id)) {
            Some(Expr::Literal(Value::Int(number))) => u64::try_from(*number).unwrap_or(0),
            _ => otherwise,
        }
    }

    /// Kubernetes' libraries.
    pub(super) fn kubernetes(&self, call: &Call<'a>, overload: &str) -> Option<Estimate> {
        let arguments = call.arguments.as_slice();
        let traversed = |argument: &Argument<'a>| self.known(argument).scaled(TRAVERSAL);
        Some(match (call.function, &call.target, arguments) {
            ("check", ..) => Estimate::of(Range::exactly(350_000)),
            (name, ..) if CHEAP.contains(&name) => Estimate::of(ONE),
            ("fieldSelector" | "labelSelector", _, [selector]) => {
                let size = self.known(selector);
                let requirements = size.scaled(0.5).scaled(50.0);
                Estimate::of(LIST.plus(size.scaled(TRAVERSAL)).plus(requirements))
            }
            ("url" | "jsonpatch.escapeKey", _, [text]) => Estimate::sized(traversed(text), self.known(text)),
            ("ip", ..) if overload == "cidr_ip" => Estimate::of(ONE),
            (name, _, [text, ..]) if READERS.contains(&name) => Estimate::of(traversed(text)),
            ("ip.isCanonical", _, [text, ..]) => Estimate::of(self.known(text).scaled(2.0 * TRAVERSAL)),
            ("containsIP" | "containsCIDR", _, [other, ..]) => {
                Estimate::of(self.contains(call, overload, other))
            }
            ("validate", _, [text, ..]) => Estimate::of(traversed(text).scaled(128.0 * PATTERN)),
            (op::EQUALS, _, [left, right]) => return equality(left, right),
            (_, Some(target), _) => return self.text(call, target),
            _ => return None,
        })
    }

    fn contains(&self, call: &Call<'a>, overload: &str, other: &Argument<'a>) -> Range {
        let bytes = Range::new(4, 16);
        let mut cost = bytes.plus(bytes).scaled(TRAVERSAL);
        if call.function == "containsCIDR" {
            cost = cost.plus(bytes.scaled(TRAVERSAL)).plus(ONE);
        }
        if overload.ends_with("_string") { cost.plus(self.known(other).scaled(TRAVERSAL)) } else { cost }
    }

    /// Functions of texts and lists.
    fn text(&self, call: &Call<'a>, target: &Argument<'a>) -> Option<Estimate> {
        let size = self.known(target);
        Some(match (call.function, call.arguments.as_slice()) {
            ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", _) => {
                Estimate::of(match element(target) {
                    Some(element) => {
                        let long = matches!(element.kind.kind(), Kind::String | Kind::Bytes);
                        let each = if long { self.known(&element).scaled(TRAVERSAL) } else { Range::ZERO };
                        size.times(ONE.plus(each))
                    }
                    None => size.scaled(TRAVERSAL),
                })
            }
            ("lowerAscii" | "upperAscii" | "substring" | "trim", _) => {
                Estimate::sized(size.scaled(TRAVERSAL), size)
            }
            ("replace", [old, new, ..]) => {
                let made = replaced(size, self.known(old), self.known(new));
                Estimate::sized(size.scaled(2.0 * TRAVERSAL), made)
            }
            ("split", arguments) => {
                let limit =
                    match arguments.get(1).and_then(|limit| limit.id).map(|id| self.typed.tree.get(id)) {
                        Some(Expr::Literal(Value::Int(limit))) => limit.cast_unsigned(),
                        _ => size.max,
                    };
                Estimate::sized(size.scaled(2.0 * TRAVERSAL), Range::new(0, limit))
            }
            ("join", arguments) => {
                let mut made = match element(target) {
                    Some(element) => size.times(self.known(&element)),
                    None => Range::ZERO,
                };
                if let Some(separator) = arguments.first() {
                    let between = Range::new(size.min.saturating_sub(1), size.max.saturating_sub(1));
                    made = made.plus(self.known(separator).times(between));
                }
                Estimate::sized(made.scaled(TRAVERSAL), made)
            }
            ("find" | "findAll", [pattern, ..]) => {
                let walked = size.plus(ONE).scaled(TRAVERSAL);
                let cost = walked.times(self.known(pattern).scaled(PATTERN));
                Estimate::sized(cost, Range::new(0, size.max))
            }
            _ => return None,
        })
    }
}

/// The elements of a list, as an argument of their own.
fn element<'a>(list: &Argument<'a>) -> Option<Argument<'a>> {
    let kind = list.kind.parameters().into_iter().next()?;
    let path = if list.path.is_empty() { list.path.clone() } else { list.path.copied().then("@items") };
    Some(Argument { id: None, path, kind, size: None })
}

fn equality(left: &Argument<'_>, right: &Argument<'_>) -> Option<Estimate> {
    if left.kind.name() != right.kind.name() {
        return None;
    }
    Some(match (left.kind.kind(), left.kind.name()) {
        (Kind::Opaque, "net.IP" | "net.CIDR") => Estimate::of(ONE),
        (Kind::Struct, "kubernetes.URL") => {
            let most = right.size.map_or(1, |size| size.max);
            Estimate::of(Range::new(1, most).scaled(TRAVERSAL))
        }
        (Kind::Struct, "kubernetes.NamedFormat") => Estimate::of(Range::new(1, 64).scaled(TRAVERSAL)),
        (Kind::Struct, name) if name.starts_with("kubernetes.") => Estimate::of(ONE),
        _ => return None,
    })
}

fn sort_factor(overload: &str) -> f64 {
    let long = overload.starts_with("list_string_") || overload.starts_with("list_bytes_");
    if long { 2.0 + TRAVERSAL } else { 2.0 }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "costs are reckoned in floating point, as the engine that sets them does"
)]
fn float(number: u64) -> f64 {
    number as f64
}

/// The size of a text of this size with one part replaced by another, as often as can be.
fn replaced(size: Range, old: Range, new: Range) -> Range {
    let (mut count, mut kept) = (Range::ZERO, Range::ZERO);
    if old.min == 0 {
        count.max = size.max.saturating_add(1);
        kept.max = size.max;
    } else if new.max <= old.min {
        kept.max = size.max;
    } else {
        count.max = size.max.div_ceil(old.min);
    }
    if old.max == 0 {
        count.min = size.min.saturating_add(1);
        kept.min = size.min;
    } else if old.max <= new.min {
        kept.min = size.min;
    } else {
        count.min = size.min.div_ceil(old.max);
    }
    count.times(new).plus(kept)
}
