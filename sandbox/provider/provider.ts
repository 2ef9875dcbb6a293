import { Cloud } from './cloud.ts'
import type { JsonObject } from './cloud.ts'
import { Diagnostic, encodeDiagnostic, encodePath } from './diagnostics.ts'
import { pack, unpack } from './msgpack.ts'
import type { Obj, Value } from './msgpack.ts'
import { applyObject, checkConfig, readData, readObject } from './objects.ts'
import { bytesOf, message, readFields, textOf } from './proto.ts'
import type { Fields } from './proto.ts'
import { DATA_SOURCES, RESOURCES, providerSchema } from './schema.ts'
import type { ResourceSpec } from './schema.ts'
import { emptyObject, plan, upgrade } from './values.ts'

type Method = (request: Fields) => Buffer | Promise<Buffer>

/** The calls of `tfplugin6.Provider` by name (terraform-plugin protocol 6.8). What is missing here is answered as unimplemented. */
export function providerMethods(env: NodeJS.ProcessEnv): Readonly<Record<string, Method>> {
  let cloud: Cloud | null = null
  const configured = (): Cloud => {
    if (!cloud) throw new Diagnostic('Provider not configured', 'Terraform asked for an object before it configured the provider.')
    return cloud
  }
  return {
    GetProviderSchema: () => providerSchema(),
    ValidateProviderConfig: () => message(),
    ValidateResourceConfig: (r) => diagnosed(1, () => (checkConfig(object(r, 2) ?? {}), message())),
    ValidateDataResourceConfig: () => message(),
    UpgradeResourceState: (r) =>
      diagnosed(2, () => {
        const stored = JSON.parse(bytesOf(readFields(bytesOf(r, 3)), 1).toString('utf8')) as JsonObject
        return message([1, dynamic(upgrade(specOf(textOf(r, 1)), stored))])
      }),
    ConfigureProvider: (r) =>
      diagnosed(1, () => {
        cloud = connect(object(r, 2) ?? {}, env)
        return message()
      }),
    ReadResource: (r) =>
      diagnosed(2, async () => {
        const type = textOf(r, 1)
        return message([1, dynamic(await readObject(configured(), type, specOf(type), object(r, 2) as Obj))], [3, bytesOf(r, 3)])
      }),
    PlanResourceChange: (r) => diagnosed(4, () => planChange(r)),
    ApplyResourceChange: (r) => applyChange(r, configured),
    ImportResourceState: (r) =>
      diagnosed(2, () => {
        const type = textOf(r, 1)
        const state = { ...emptyObject(specOf(type)), id: textOf(r, 2) }
        return message([1, message([1, type], [2, dynamic(state)])])
      }),
    ReadDataSource: (r) =>
      diagnosed(2, async () => {
        const type = textOf(r, 1)
        const spec = DATA_SOURCES[type]
        if (!spec) throw new Diagnostic('Unknown data source', `There is no data source ${type}.`)
        return message([1, dynamic(await readData(configured(), type, spec, object(r, 2) as Obj))])
      }),
    StopProvider: () => message(),
  }
}

function connect(config: Obj, env: NodeJS.ProcessEnv): Cloud {
  const setting = (key: 'url' | 'token', variable: string): string => {
    const value = (config[key] as string | null) ?? env[variable] ?? ''
    if (typeof value !== 'string' || value === '') throw new Diagnostic(`The sandbox cloud's ${key} is missing`, `Set ${variable}, or ${key} in the provider block.`, [key])
    return value
  }
  const url = setting('url', 'SANDBOX_URL')
  if (!/^https?:\/\/[^/]/.test(url)) throw new Diagnostic('The sandbox cloud’s url is not a URL', `"${url}" should look like http://127.0.0.1:4100`, ['url'])
  return new Cloud(url, setting('token', 'SANDBOX_TOKEN'))
}

function planChange(r: Fields): Buffer {
  const spec = specOf(textOf(r, 1))
  const proposed = object(r, 3)
  if (!proposed) return message([1, dynamic(null)], [3, bytesOf(r, 5)])
  const { planned, replace } = plan(spec, object(r, 2), proposed, object(r, 4) ?? {})
  return message([1, dynamic(planned)], ...replace.map((key): [number, Buffer] => [2, encodePath([key])]), [3, bytesOf(r, 5)])
}

// With an error the state stays what it was: prior, or nothing when the object was to be created.
async function applyChange(r: Fields, configured: () => Cloud): Promise<Buffer> {
  const type = textOf(r, 1)
  const prior = object(r, 2)
  try {
    const state = await applyObject(configured(), type, specOf(type), prior, object(r, 3))
    return message([1, dynamic(state)], [2, bytesOf(r, 5)])
  } catch (e) {
    return message([1, dynamic(prior)], [2, bytesOf(r, 5)], [3, encodeDiagnostic(asDiagnostic(e))])
  }
}

function specOf(type: string): ResourceSpec {
  const spec = RESOURCES[type]
  if (!spec) throw new Diagnostic('Unknown resource type', `There is no resource type ${type}.`)
  return spec
}
function dynamic(value: Value): Buffer {
  return message([1, pack(value)])
}
function object(r: Fields, field: number): Obj | null {
  const bytes = bytesOf(readFields(bytesOf(r, field)), 1)
  return bytes.length === 0 ? null : (unpack(bytes) as Obj | null)
}
async function diagnosed(field: number, run: () => Buffer | Promise<Buffer>): Promise<Buffer> {
  try {
    return await run()
  } catch (e) {
    return message([field, encodeDiagnostic(asDiagnostic(e))])
  }
}
function asDiagnostic(e: unknown): Diagnostic {
  if (e instanceof Diagnostic) return e
  return new Diagnostic('Unexpected error in the sandbox provider', e instanceof Error ? (e.stack ?? e.message) : String(e))
}
