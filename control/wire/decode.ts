/**
 * JSON of the control protocol to checked values. Never throws on input: a document that Go would not take is told
 * apart by its `malformed` text, which names the field and what was wanted.
 */
import { fromUtf8 } from "../../base/bytes.ts";
import { parseJson } from "./json.ts";
import type { Shape } from "./shape.ts";
import * as shapes from "./shapes.ts";
import type { MapRequest } from "./map_request.ts";
import type { MapResponse } from "./map_response.ts";
import type { OverTLSPublicKeyResponse, RegisterRequest, RegisterResponse } from "./register.ts";
import type * as tka from "./tka_rpc.ts";

/** Why a document is refused. */
export interface Malformed {
  readonly malformed: string;
}

export type Decoded<T> = { readonly value: T } | Malformed;

export function isMalformed(decoded: object): decoded is Malformed {
  return "malformed" in decoded;
}

function check<T>(name: string, shape: Shape, value: unknown): Decoded<T> {
  const wrong = shape(value);
  return wrong === undefined ? { value: value as T } : { malformed: `${name}${wrong}` };
}

/** Any JSON document. @param largeIds see `parseJson`. */
export function decodeJson(bytes: Uint8Array, largeIds: "fold" | "text" = "fold"): Decoded<unknown> {
  const text = fromUtf8(bytes);
  if (text === undefined) return { malformed: "not UTF-8" };
  try {
    return { value: parseJson(text, largeIds) };
  } catch {
    return { malformed: `not JSON, begins ${JSON.stringify(text.slice(0, 40))}` };
  }
}

function decode<T>(name: string, shape: Shape, bytes: Uint8Array): Decoded<T> {
  const decoded = decodeJson(bytes);
  return isMalformed(decoded) ? { malformed: `${name}: ${decoded.malformed}` } : check(name, shape, decoded.value);
}

/** A frame of a map poll, decompressed. */
export function decodeMapResponse(bytes: Uint8Array): Decoded<MapResponse> {
  return decode("MapResponse", shapes.mapResponse, bytes);
}

/** The same from parsed JSON, changed in place. */
export function checkMapResponse(value: unknown): Decoded<MapResponse> {
  return check("MapResponse", shapes.mapResponse, value);
}

export function decodeMapRequest(bytes: Uint8Array): Decoded<MapRequest> {
  return decode("MapRequest", shapes.mapRequest, bytes);
}

export function decodeRegisterRequest(bytes: Uint8Array): Decoded<RegisterRequest> {
  return decode("RegisterRequest", shapes.registerRequest, bytes);
}

export function decodeRegisterResponse(bytes: Uint8Array): Decoded<RegisterResponse> {
  return decode("RegisterResponse", shapes.registerResponse, bytes);
}

/** Answer of `GET /key`. */
export function decodeServerKeys(bytes: Uint8Array): Decoded<OverTLSPublicKeyResponse> {
  return decode("OverTLSPublicKeyResponse", shapes.serverKeys, bytes);
}

interface TkaRequests {
  "init/begin": tka.TKAInitBeginRequest;
  "init/finish": tka.TKAInitFinishRequest;
  "bootstrap": tka.TKABootstrapRequest;
  "sync/offer": tka.TKASyncOfferRequest;
  "sync/send": tka.TKASyncSendRequest;
  "disable": tka.TKADisableRequest;
  "sign": tka.TKASubmitSignatureRequest;
  "affected-sigs": tka.TKASignaturesUsingKeyRequest;
  "agent/auth-keys": tka.AuthKeyStatesRequest;
}

interface TkaResponses {
  "init/begin": tka.TKAInitBeginResponse;
  "init/finish": Record<never, never>;
  "bootstrap": tka.TKABootstrapResponse;
  "sync/offer": tka.TKASyncOfferResponse;
  "sync/send": tka.TKASyncSendResponse;
  "disable": Record<never, never>;
  "sign": Record<never, never>;
  "affected-sigs": tka.TKASignaturesUsingKeyResponse;
  "agent/auth-keys": tka.AuthKeyStatesResponse;
}

/** The calls of Tailnet Lock: what follows `/machine/tka/`. */
export type TkaCall = keyof TkaRequests;

/** The body of a call. */
export type TkaRequest<C extends TkaCall> = TkaRequests[C];
/** The answer of a call. */
export type TkaResponse<C extends TkaCall> = TkaResponses[C];

export function decodeTkaRequest<C extends TkaCall>(call: C, bytes: Uint8Array): Decoded<TkaRequest<C>> {
  return decode(`tka/${call} request`, shapes.tkaRequests[call], bytes);
}

/** @param value parsed JSON, changed in place. */
export function checkTkaResponse<C extends TkaCall>(call: C, value: unknown): Decoded<TkaResponse<C>> {
  return check(`tka/${call} response`, shapes.tkaResponses[call], value);
}
