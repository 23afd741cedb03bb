// Writes the conformance cases of cel-spec, as published in @bufbuild/cel-spec, into the file the tests read:
//   npm pack @bufbuild/cel-spec@0.6.1 && tar xzf bufbuild-cel-spec-0.6.1.tgz
//   node extract.mjs package/dist/esm/testdata/conformance.js | gzip -9n > cases.json.gz
// Left out are the groups about protobuf messages, which are not spoken here.
import { pathToFileURL } from 'node:url';
const { tests } = await import(pathToFileURL(process.argv[2]));
const LEFT_OUT = ['proto2', 'proto2_ext', 'proto3', 'wrappers', 'enums', 'dynamic'];
const cases = [];
const walk = (suite, path) => {
  for (const below of suite.suites ?? []) {
    if (path.length || !LEFT_OUT.includes(below.name)) walk(below, [...path, below.name]);
  }
  for (const { original, type, error } of suite.tests ?? []) {
    const { description, ...kept } = original;
    cases.push({ path: [...path, original.name].join('/'), ...kept, type, refused: error ? true : undefined });
  }
};
walk(tests, []);
// Fractions as text: readers of JSON differ in the last digit.
const plain = (key, value) => (key === 'doubleValue' ? String(value) : value);
process.stdout.write('[\n' + cases.map((kase) => JSON.stringify(kase, plain)).join(',\n') + '\n]\n');
