// Kubernetes' JavaScript client against the server that $KUBECONFIG names, as dashboards and bots use it.
//
// Each check works in a namespace of its own. Ends with 1 and says which checks failed.

import assert from 'node:assert/strict';
import * as k8s from '@kubernetes/client-node';

const PATIENCE = 30_000;
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);

const configMap = (name, data) => ({ metadata: { name, labels: { session: 'javascript' } }, data });
const patchAs = (strategy) => k8s.setHeaderOptions('Content-Type', strategy);

/** The status of the refusal that a promise must end with, and its body. */
async function refused(code, promise) {
  try {
    await promise;
  } catch (error) {
    assert.equal(error.code, code, error.body ?? error.stack);
    return typeof error.body === 'string' ? JSON.parse(error.body) : error.body;
  }
  return assert.fail(`was not refused with ${code}`);
}

async function eventually(what, ask) {
  const deadline = Date.now() + PATIENCE;
  while (Date.now() < deadline) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return assert.fail(`waited in vain: ${what}`);
}

const checks = {
  async 'typed objects'(namespace) {
    const labels = { app: 'web' };
    const containers = [{ name: 'web', image: 'registry.example.com/web:1' }];
    const body = {
      metadata: { name: 'web' },
      spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } },
    };
    const made = await apps.createNamespacedDeployment({ namespace, body });
    assert.ok(made.metadata.creationTimestamp instanceof Date);
    assert.equal(made.spec.template.spec.containers[0].imagePullPolicy, 'IfNotPresent');
    const scale = await apps.readNamespacedDeploymentScale({ namespace, name: 'web' });
    scale.spec.replicas = 5;
    await apps.replaceNamespacedDeploymentScale({ namespace, name: 'web', body: scale });
    const stale = await refused(409, apps.replaceNamespacedDeployment({ namespace, name: 'web', body: made }));
    assert.equal(stale.reason, 'Conflict');
    const listed = await apps.listNamespacedDeployment({ namespace });
    assert.deepEqual(listed.items.map((item) => [item.metadata.name, item.spec.replicas]), [['web', 5]]);
    await refused(404, core.readNamespacedConfigMap({ namespace, name: 'nobody' }));
    const invalid = await refused(422, core.createNamespacedConfigMap({ namespace, body: configMap('No Name') }));
    assert.equal(invalid.details.causes[0].field, 'metadata.name');
    await apps.deleteNamespacedDeployment({ namespace, name: 'web' });
    await eventually('the deployment is gone', async () => (await apps.listNamespacedDeployment({ namespace })).items.length === 0);
  },

  async 'patches and server-side apply'(namespace) {
    const { PatchStrategy } = k8s;
    const name = 'patched';
    await core.createNamespacedConfigMap({ namespace, body: configMap(name, { a: '1', b: '2' }) });
    const patch = (strategy, body, more = {}) => core.patchNamespacedConfigMap({ namespace, name, body, ...more }, patchAs(strategy));
    const json = await patch(PatchStrategy.JsonPatch, [{ op: 'replace', path: '/data/a', value: 'x' }]);
    assert.deepEqual(json.data, { a: 'x', b: '2' });
    const merge = await patch(PatchStrategy.MergePatch, { data: { b: null, c: '3' } });
    assert.deepEqual(merge.data, { a: 'x', c: '3' });
    const strategic = await patch(PatchStrategy.StrategicMergePatch, { metadata: { labels: { more: 'yes' } } });
    assert.deepEqual(strategic.metadata.labels, { session: 'javascript', more: 'yes' });
    const wanted = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { c: '4' } };
    const conflict = await refused(409, patch(PatchStrategy.ServerSideApply, wanted, { fieldManager: 'applier' }));
    assert.match(conflict.message, /\.data\.c/);
    const applied = await patch(PatchStrategy.ServerSideApply, wanted, { fieldManager: 'applier', force: true });
    assert.deepEqual(applied.data, { a: 'x', c: '4' });
    const managers = applied.metadata.managedFields.filter((entry) => entry.operation === 'Apply');
    assert.deepEqual(managers.map((entry) => entry.manager), ['applier']);
  },

  async pages(namespace) {
    for (let number = 0; number < 7; number += 1) {
      await core.createNamespacedSecret({ namespace, body: { metadata: { name: `page-${number}` }, stringData: { a: 'b' } } });
    }
    const names = [];
    let _continue;
    let pages = 0;
    do {
      const page = await core.listNamespacedSecret({ namespace, limit: 3, _continue });
      names.push(...page.items.map((item) => item.metadata.name));
      _continue = page.metadata._continue;
      pages += 1;
    } while (_continue);
    assert.deepEqual([pages, names.length, names.at(-1)], [3, 7, 'page-6']);
  },

  async watch(namespace) {
    const seen = [];
    const ended = Promise.withResolvers?.() ?? deferred();
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const { metadata } = await core.listNamespacedConfigMap({ namespace });
    const query = { resourceVersion: metadata.resourceVersion, allowWatchBookmarks: true, labelSelector: 'session=javascript' };
    const follow = await new k8s.Watch(config).watch(path, query, (phase, object) => {
      seen.push(phase === 'BOOKMARK' ? phase : `${phase} ${object.metadata.name}`);
    }, ended.resolve);
    await core.createNamespacedConfigMap({ namespace, body: configMap('seen', { step: '1' }) });
    await core.patchNamespacedConfigMap({ namespace, name: 'seen', body: { data: { step: '2' } } }, patchAs('application/merge-patch+json'));
    await core.deleteNamespacedConfigMap({ namespace, name: 'seen' });
    await eventually('three events', () => seen.length >= 3);
    follow.abort();
    await ended.promise;
    assert.deepEqual(seen, ['ADDED seen', 'MODIFIED seen', 'DELETED seen']);
  },

  async informer(namespace) {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: 'session=javascript' });
    await core.createNamespacedConfigMap({ namespace, body: configMap('before', {}) });
    const informer = k8s.makeInformer(config, path, list, 'session=javascript');
    const seen = [];
    for (const verb of ['add', 'update', 'delete']) informer.on(verb, (object) => seen.push(`${verb} ${object.metadata.name}`));
    informer.on('error', (error) => seen.push(`error ${error}`));
    await informer.start();
    const sees = (event) => eventually(`the informer sees ${event}`, () => seen.includes(event));
    await sees('add before');
    await core.createNamespacedConfigMap({ namespace, body: configMap('after', {}) });
    await sees('add after');
    await core.patchNamespacedConfigMap({ namespace, name: 'after', body: { data: { a: 'b' } } }, patchAs('application/merge-patch+json'));
    await sees('update after');
    assert.deepEqual(informer.get('after', namespace).data, { a: 'b' });
    await core.deleteNamespacedConfigMap({ namespace, name: 'before' });
    await sees('delete before');
    assert.deepEqual(informer.list(namespace).map((object) => object.metadata.name), ['after']);
    assert.deepEqual(seen, ['add before', 'add after', 'update after', 'delete before']);
    await informer.stop();
  },

  async 'custom objects'(namespace) {
    const [group, version, plural] = ['javascript.example.com', 'v1', 'gadgets'];
    // The typed client has its own names for what JavaScript cannot write.
    const spec = { type: 'object', properties: { size: { type: 'integer', minimum: 1 }, colour: { type: 'string', _default: 'red' } } };
    const status = { type: 'object', x_kubernetes_preserve_unknown_fields: true };
    const extensions = config.makeApiClient(k8s.ApiextensionsV1Api);
    const name = `${plural}.${group}`;
    const schema = { openAPIV3Schema: { type: 'object', properties: { spec, status } } };
    await extensions.createCustomResourceDefinition({
      body: {
        metadata: { name },
        spec: {
          group, scope: 'Namespaced', names: { plural, singular: 'gadget', kind: 'Gadget' },
          versions: [{ name: version, served: true, storage: true, subresources: { status: {} }, schema }],
        },
      },
    });
    await eventually('the definition is established', async () => {
      const found = await extensions.readCustomResourceDefinition({ name });
      return found.status?.conditions?.some((condition) => condition.type === 'Established' && condition.status === 'True');
    });
    const custom = config.makeApiClient(k8s.CustomObjectsApi);
    const where = { group, version, namespace, plural };
    const gadget = (size) => ({ apiVersion: `${group}/${version}`, kind: 'Gadget', metadata: { name: 'one' }, spec: { size } });
    const made = await custom.createNamespacedCustomObject({ ...where, body: gadget(1) });
    assert.deepEqual(made.spec, { size: 1, colour: 'red' });
    const invalid = await refused(422, custom.replaceNamespacedCustomObject({ ...where, name: 'one', body: { ...made, spec: { size: 0 } } }));
    assert.equal(invalid.details.causes[0].field, 'spec.size');
    const apply = { ...where, name: 'one', fieldManager: 'applier', force: true };
    const applied = await custom.patchNamespacedCustomObject({ ...apply, body: gadget(2) }, patchAs(k8s.PatchStrategy.ServerSideApply));
    assert.deepEqual(applied.spec, { size: 2, colour: 'red' });
    const told = await custom.patchNamespacedCustomObjectStatus({ ...where, name: 'one', body: { status: { phase: 'Ready' } } }, patchAs('application/merge-patch+json'));
    assert.deepEqual([told.status.phase, told.metadata.generation], ['Ready', 2]);
    const objects = k8s.KubernetesObjectApi.makeApiClient(config);
    const read = await objects.read({ apiVersion: `${group}/${version}`, kind: 'Gadget', metadata: { name: 'one', namespace } });
    assert.equal(read.status.phase, 'Ready');
    await objects.delete(read);
    await refused(404, custom.getNamespacedCustomObject({ ...where, name: 'one' }));
    await extensions.deleteCustomResourceDefinition({ name });
  },

  async 'who may what'(namespace) {
    const authorization = config.makeApiClient(k8s.AuthorizationV1Api);
    const ask = async (user) => {
      const resourceAttributes = { namespace, verb: 'list', resource: 'secrets' };
      const answer = await authorization.createSubjectAccessReview({ body: { spec: { user, resourceAttributes } } });
      return answer.status.allowed;
    };
    assert.equal(await ask('nobody'), false);
    const me = await config.makeApiClient(k8s.AuthenticationV1Api).createSelfSubjectReview({ body: {} });
    assert.ok(me.status.userInfo.groups.includes('system:masters'));
    const version = await config.makeApiClient(k8s.VersionApi).getCode();
    assert.equal(version.major, '1');
  },
};

function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  const started = performance.now();
  const made = await core.createNamespace({ body: { metadata: { generateName: 'javascript-' } } });
  try {
    await check(made.metadata.name);
    console.log(`ok ${name} (${((performance.now() - started) / 1000).toFixed(2)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack}`);
  }
  await core.deleteNamespace({ name: made.metadata.name });
}
process.exit(failed === 0 ? 0 : 1);
