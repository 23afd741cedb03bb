//! Kubernetes' libraries; facts from `k8s.io/apiserver` v0.35.4 `pkg/cel/library/*_test.go`.

use super::language::{check, holds};

#[test]
fn texts() {
    check(&[
        ("'hello'.charAt(5)", "string "),
        ("'hello'.charAt(6)", "index out of range: 6"),
        ("'hello mellow'.indexOf('ello', 2)", "int 7"),
        ("'hello mellow'.indexOf('jello')", "int -1"),
        ("'hello mellow'.indexOf('', 2)", "int 2"),
        ("'hello mellow'.indexOf('e', -1)", "index out of range: -1"),
        ("'hello mellow'.lastIndexOf('ello')", "int 7"),
        ("'hello mellow'.lastIndexOf('ello', 6)", "int 1"),
        ("'ÄpfelÄ'.lastIndexOf('Ä')", "int 5"),
        ("'hello hello'.replace('he', 'we', 1)", "string wello hello"),
        ("'hello'.replace('l', '', 0)", "string hello"),
        ("'a b'.split(' ')", "list [a, b]"),
        ("'abc'.split('')", "list [a, b, c]"),
        ("'abc'.split('', 2)", "list [a, bc]"),
        ("'a,b,c'.split(',', 2)", "list [a, b,c]"),
        ("'a,b'.split(',', 0)", "list []"),
        ("'tacocat'.substring(4)", "string cat"),
        ("'tacocat'.substring(0, 4)", "string taco"),
        ("'tacocat'.substring(40)", "index out of range: 40"),
        ("'tacocat'.substring(3, 2)", "invalid substring range. start: 3, end: 2"),
        ("'  x '.trim() + 'TacoCÆt'.lowerAscii() + 'æa'.upperAscii()", "string xtacocÆtæA"),
        ("['a', 'b'].join('-')", "string a-b"),
        ("[1].join()", "join: invalid input: 1"),
        ("strings.quote('a\"\\n')", "string \"a\\\"\\n\""),
        (
            "'%s|%d|%.2f|%x|%X|%o|%b|%e|%%'.format(['a', 1, 1.5, 255, 'hi', 8, true, 1200.0])",
            "string a|1|1.50|ff|6869|10|1|1.200000×10⁰³|%",
        ),
        ("'%s'.format([{'b': [1, null], 'a': 1.0}])", "string {\"a\":1.000000, \"b\":[1, null]}"),
        (
            "'%d'.format([body.ref])",
            "error during formatting: decimal clause can only be used on integers, was given string",
        ),
        ("'%d'.format([])", "ERROR: <input>:1:12: index 0 out of range\n | '%d'.format([])\n | ...........^"),
        ("'%z'.format([body])", "could not parse formatting clause: unrecognized formatting clause \"z\""),
    ]);
}

#[test]
fn lists() {
    check(&[
        ("[1, 2, 2].isSorted() && !['b', 'a'].isSorted()", "bool true"),
        ("[1, 2, 3].sum()", "int 6"),
        ("[1.5, 2.5].sum()", "double 4"),
        ("[duration('1s'), duration('2s')].sum()", "google.protobuf.Duration 3s"),
        ("[].sum()", "int 0"),
        ("[2, 1].min() + [2, 1].max()", "int 3"),
        ("[].min()", "min called on empty list"),
        ("[].max()", "max called on empty list"),
        ("[1, 2, 2].indexOf(2) + [1, 2, 2].lastIndexOf(2)", "int 3"),
        ("[1].indexOf(5)", "int -1"),
        ("[1, 2, 3].slice(1, 3)", "list [2, 3]"),
        ("[1].slice(0, 3)", "cannot slice(0, 3), list is length 1"),
        ("[1].slice(2, 1)", "cannot slice(2, 1), start index must be less than or equal to end index"),
        ("[1].slice(-1, 1)", "cannot slice(-1, 1), negative indexes not supported"),
        ("[dyn(1), [dyn(2), [3]]].flatten()", "list [1, 2, [3]]"),
        ("[dyn(1), [dyn(2), [3]]].flatten(2)", "list [1, 2, 3]"),
        ("[1].flatten(-1)", "level must be non-negative"),
        ("[1, 2, dyn(1.0)].distinct()", "list [1, 2]"),
        ("[3, 1, 2].sort()", "list [1, 2, 3]"),
        ("[1, dyn('a')].sort()", "list elements must have the same type"),
        ("[1, 2].reverse() + lists.range(2)", "list [2, 1, 0, 1]"),
        (
            "[1].sum('x')",
            "ERROR: <input>:1:8: found no matching overload for 'sum' applied to 'list(int).(string)'\n | [1].sum('x')\n | .......^",
        ),
    ]);
    holds(&[
        "sets.contains([1, 2], [2u])",
        "sets.equivalent([1, 2, 2], [2, 1])",
        "!sets.intersects([1], [2])",
    ]);
}

#[test]
fn regular_expressions() {
    check(&[
        ("'abc 123'.find('[0-9]*')", "string "),
        ("'abc 123'.find('[0-9]+')", "string 123"),
        ("'123 abc 456'.findAll('[0-9]+')", "list [123, 456]"),
        ("'123 abc 456'.findAll('[0-9]+', 1)", "list [123]"),
        ("'123 abc 456'.findAll('xyz')", "list []"),
        ("'abc'.matches('^a.c$') && matches('abc', 'b')", "bool true"),
        ("'٣'.matches('\\\\d')", "bool false"),
        ("'a[b'.matches('^[[a]{2}b$')", "bool true"),
        (
            "'a'.matches('(')",
            "ERROR: <input>:1:13: invalid matches argument\n | 'a'.matches('(')\n | ............^",
        ),
        ("body.ref.matches(body.tags[0] + '(')", "error parsing regexp: missing closing ): `a(`"),
        ("'a'.find('(')", "Illegal regex: error parsing regexp: missing closing ): `(`"),
    ]);
}

#[test]
fn urls() {
    check(&[
        ("url('https://example.com:80/').getHost()", "string example.com:80"),
        ("url('https://[::1]:80/').getHost()", "string [::1]:80"),
        ("url('https://[::1]:80/').getHostname()", "string ::1"),
        ("url('https://example.com:80/').getPort()", "string 80"),
        ("url('/path').getScheme() + url('/path').getHost()", "string "),
        ("url('https://example.com/path with spaces/').getEscapedPath()", "string /path%20with%20spaces/"),
        ("url('https://example.com').getEscapedPath()", "string "),
        ("url('https://example.com/path?k1=a&k2=b&k2=c').getQuery()", "map {k1: [a], k2: [b, c]}"),
        ("url('https://example.com/path?key with spaces=v').getQuery()", "map {key with spaces: [v]}"),
        (
            "url('../relative')",
            "URL parse error during conversion from string: parse \"../relative\": invalid URI for request",
        ),
        (
            "url('https://a:b:c/')",
            "URL parse error during conversion from string: parse \"https://a:b:c/\": invalid port \":c\" after host",
        ),
    ]);
    holds(&[
        "isURL('https://user:pass@example.com:80/path?query=val#fragment')",
        "isURL('/absolute-path')",
        "!isURL('https://a:b:c/')",
        "!isURL('../relative-path')",
        "url('/a') == url('/a')",
    ]);
}

#[test]
fn quantities() {
    check(&[
        ("quantity('10')", "kubernetes.Quantity 10"),
        (
            "quantity('10 Mi')",
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "quantity('10Mo')",
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("quantity('10KM')", "unable to parse quantity's suffix"),
        ("quantity('50.703').asInteger()", "cannot convert value to integer"),
        ("quantity('50').asInteger()", "int 50"),
        ("quantity('9999999999999999999999999999999999999G').asInteger()", "cannot convert value to integer"),
        ("quantity('50.703k').asApproximateFloat()", "double 50703"),
        ("quantity('50k').add(20)", "kubernetes.Quantity 50020"),
        ("quantity('50k').add(quantity('20')).sub(quantity('100k')).sub(-50000)", "kubernetes.Quantity 20"),
        ("quantity('50k').sub(20)", "kubernetes.Quantity 49980"),
        ("quantity('1Gi')", "kubernetes.Quantity 1Gi"),
        ("quantity('1024Ki')", "kubernetes.Quantity 1Mi"),
        ("quantity('1500m')", "kubernetes.Quantity 1500m"),
        ("quantity('0.1n')", "kubernetes.Quantity 1n"),
        ("quantity('1e3')", "kubernetes.Quantity 1e3"),
        ("quantity('0.5Gi')", "kubernetes.Quantity 512Mi"),
    ]);
    holds(&[
        "isQuantity('20') && isQuantity('20M') && isQuantity('20Mi') && isQuantity('1.5G')",
        "!isQuantity('20Mo') && !isQuantity('3Mike') && !isQuantity('')",
        "quantity('200M') == quantity('0.2G')",
        "quantity('2000000') == quantity('2M') && quantity('2000000') != quantity('2Mi')",
        "quantity('200M').compareTo(quantity('0.2G')) == 0",
        "quantity('50Mi').compareTo(quantity('50M')) == 1",
        "quantity('150Mi').isGreaterThan(quantity('100Mi')) && quantity('50M').isLessThan(quantity('100M'))",
        "sign(quantity('1')) == 1 && sign(quantity('-2')) == -1 && sign(quantity('0')) == 0",
        "quantity('50k').isInteger() && !quantity('50.5').isInteger() && !quantity('1000m').isInteger()",
        "quantity('50k').add(20) < quantity('1') || true",
        "quantity('0.1').add(quantity('0.2')) == quantity('0.3')",
        "quantity('1e30').isGreaterThan(quantity('1n'))",
    ]);
}

#[test]
fn addresses_and_networks() {
    check(&[
        (
            "ip('192.168.0.1.0')",
            "IP Address \"192.168.0.1.0\" parse error during conversion from string: ParseAddr(\"192.168.0.1.0\"): IPv4 address too long",
        ),
        (
            "ip('192.168.0')",
            "IP Address \"192.168.0\" parse error during conversion from string: ParseAddr(\"192.168.0\"): IPv4 address too short",
        ),
        ("ip('fe80::1%en0')", "IP address \"fe80::1%en0\" with zone value is not allowed"),
        ("ip('::ffff:192.168.0.1')", "IPv4-mapped IPv6 address \"::ffff:192.168.0.1\" is not allowed"),
        ("string(ip('2001:DB8::1'))", "string 2001:db8::1"),
        (
            "cidr('192.168.0.0/')",
            "network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix(\"192.168.0.0/\"): bad bits after slash: \"\"",
        ),
        ("string(cidr('192.168.0.1/24').masked())", "string 192.168.0.0/24"),
        ("string(cidr('192.168.0.1/24').ip())", "string 192.168.0.1"),
        ("cidr('2001:db8::/32').prefixLength() + cidr('0.0.0.0/0').prefixLength()", "int 32"),
    ]);
    holds(&[
        "isIP('127.0.0.1') && isIP('::1') && !isIP('192.168.0.1.0') && !isIP('')",
        "ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD')",
        "ip('127.0.0.1').family() == 4 && ip('::1').family() == 6",
        "ip('0.0.0.0').isUnspecified() && ip('::1').isLoopback() && !ip('10.0.0.1').isLoopback()",
        "ip('224.0.0.1').isLinkLocalMulticast() && !ip('224.0.1.1').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()",
        "ip('169.254.169.254').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast() && !ip('fd80::1').isLinkLocalUnicast()",
        "ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast() && !ip('ff00::1').isGlobalUnicast()",
        "ip('127.0.0.1') == ip('127.0.0.1')",
        "isCIDR('192.168.0.0/24') && isCIDR('::1/128') && !isCIDR('192.168.0.0/33') && !isCIDR('192.168.0.0')",
        "cidr('192.168.0.0/24').containsIP(ip('192.168.0.1')) && !cidr('192.168.0.0/24').containsIP('192.168.1.1')",
        "cidr('192.168.0.0/24').containsCIDR('192.168.0.0/25') && !cidr('192.168.0.0/24').containsCIDR(cidr('192.168.0.0/23'))",
        "cidr('192.168.0.0/24') == cidr('192.168.0.0/24').masked() && cidr('192.168.0.1/24') != cidr('192.168.0.1/24').masked()",
    ]);
}

#[test]
fn versions() {
    check(&[
        ("semver('1.2.3').major() * 100 + semver('1.2.3').minor() * 10 + semver('1.2.3').patch()", "int 123"),
        ("semver('1.2')", "No Major.Minor.Patch elements found"),
        ("semver('v1.0', true)", "kubernetes.Semver 1.0.0"),
        ("semver('01.02.03', true)", "kubernetes.Semver 1.2.3"),
        ("semver('1.2-x', true)", "short version cannot contain PreRelease/Build meta data"),
    ]);
    holds(&[
        "isSemver('1.2.3-beta.1+build.1') && !isSemver('hello') && !isSemver('v1.0') && isSemver('v1.0', true)",
        "semver('1.2.3').isGreaterThan(semver('1.2.3-rc.1')) && semver('1.0.0-2').isLessThan(semver('1.0.0-10'))",
        "semver('1.2.3').compareTo(semver('1.2.3+b')) == 0 && semver('1.0.0-alpha').compareTo(semver('1.0.0-1')) == 1",
    ]);
}

#[test]
fn formats() {
    check(&[
        (
            "format.dns1123Label().validate('contains a space').value()[0]",
            "string a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
        ("format.uuid().validate('x').value()", "list [does not match the UUID format]"),
        ("format.date().validate('x').value()", "list [invalid date]"),
        ("format.byte().validate('!').value()", "list [invalid base64]"),
        ("format.qualifiedName().validate('/x').value()", "list [prefix part must be non-empty]"),
    ]);
    holds(&[
        "!format.dns1123Label().validate('my-label').hasValue()",
        "!format.dns1123LabelPrefix().validate('my-label-').hasValue()",
        "!format.dns1123Subdomain().validate('a.b.c').hasValue()",
        "format.dns1035Label().validate('1a').hasValue()",
        "!format.qualifiedName().validate('apiextensions.k8s.io/v1beta1').hasValue()",
        "!format.labelValue().validate('').hasValue()",
        "!format.uri().validate('http://example.com').hasValue()",
        "!format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()",
        "!format.byte().validate('aGVsbG8=').hasValue()",
        "!format.date().validate('2021-01-01').hasValue() && format.date().validate('2021-02-30').hasValue()",
        "!format.datetime().validate('2021-01-01T00:00:00Z').hasValue()",
        "!format.named('dns1123Label').value().validate('a').hasValue()",
        "!format.named('nothing').hasValue()",
    ]);
}
