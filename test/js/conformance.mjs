// Calls operations with the published AWS clients for JavaScript and prints what they made of the answers.
//
// Standard input: {"endpoint", "region", "accessKey", "secretKey", "header", "calls": [{"service", "operation", "input", "exception"}]}, where input is
// the client's own form with {"$date": milliseconds} for a Date, {"$from": [i, member]} for a member of the output of call i, and {"$repeat": [text, n]} for
// a long text; exception, if any, is sent in the named header.
// Standard output: one result for each call: {"output"} in the same form, or {"error": {"name", "message", "status", "requestId", "typed"}},
// where typed tells whether the client's own class of that name was thrown. What is right is for the caller to say.

import * as personalize from "@aws-sdk/client-personalize";
import * as personalizeRuntime from "@aws-sdk/client-personalize-runtime";
import * as personalizeEvents from "@aws-sdk/client-personalize-events";
import * as s3 from "@aws-sdk/client-s3";
import * as sts from "@aws-sdk/client-sts";
import { text } from "node:stream/consumers";

const results = [];
const plan = JSON.parse(await text(process.stdin));
const options = {
  endpoint: plan.endpoint,
  region: plan.region,
  credentials: { accessKeyId: plan.accessKey, secretAccessKey: plan.secretKey },
  maxAttempts: 1,
};

const services = {
  personalize: [personalize, new personalize.PersonalizeClient(options)],
  "personalize-runtime": [personalizeRuntime, new personalizeRuntime.PersonalizeRuntimeClient(options)],
  "personalize-events": [personalizeEvents, new personalizeEvents.PersonalizeEventsClient(options)],
  s3: [s3, new s3.S3Client({ ...options, forcePathStyle: true })],
  sts: [sts, new sts.STSClient(options)],
};

// decode and encode translate between JSON and the client's values.
function decode(v) {
  if (Array.isArray(v)) return v.map(decode);
  if (v === null || typeof v !== "object") return v;
  if ("$date" in v) return new Date(v.$date);
  if ("$from" in v) return results[v.$from[0]].output[v.$from[1]];
  if ("$repeat" in v) return v.$repeat[0].repeat(v.$repeat[1]);
  return Object.fromEntries(Object.entries(v).map(([name, item]) => [name, decode(item)]));
}

async function encode(v) {
  if (v instanceof Date) return { $date: v.getTime() };
  if (typeof v?.transformToString === "function") return v.transformToString(); // the body of an object
  if (Array.isArray(v)) return Promise.all(v.map(encode));
  if (v === null || typeof v !== "object") return v;
  const items = Object.entries(v).filter(([name, item]) => name !== "$metadata" && item !== undefined);
  return Object.fromEntries(await Promise.all(items.map(async ([name, item]) => [name, await encode(item)])));
}

function failure(module, e) {
  return {
    name: e.name,
    message: e.message,
    status: e.$metadata?.httpStatusCode,
    requestId: e.$metadata?.requestId,
    typed: typeof module[e.name] === "function" && e instanceof module[e.name],
  };
}

async function run({ service, operation, input, exception }) {
  const [module, client] = services[service];
  const Command = module[`${operation}Command`];
  if (!Command) return { error: { name: "NoSuchCommand", message: `${service} has no ${operation}` } };
  const command = new Command(decode(input ?? {}));
  if (exception) {
    command.middlewareStack.add((next) => (args) => {
      args.request.headers[plan.header] = exception;
      return next(args);
    }, { step: "build" });
  }
  try {
    return { output: await encode(await client.send(command)) };
  } catch (e) {
    return { error: failure(module, e) };
  }
}

for (const call of plan.calls) results.push(await run(call));
process.stdout.write(JSON.stringify(results));
