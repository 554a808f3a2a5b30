import { HttpProblems, type ZuploContext, ZuploRequest } from "@zuplo/runtime";

// Tell the origin who the client is. No user means that no key was checked: the policies are in the wrong order.
export default async function setConsumer(
  request: ZuploRequest,
  context: ZuploContext,
): Promise<ZuploRequest | Response> {
  const consumer = request.user?.sub;
  if (!consumer) {
    return HttpProblems.internalServerError(request, context);
  }
  const headers = new Headers(request.headers);
  headers.set("X-Consumer", consumer);
  return new ZuploRequest(request, { headers });
}
