-- Print wrk's result as one line of JSON: numbers of requests and of failures, times in microseconds.
function done(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "duration": %d, "p50": %d, "p99": %d, "status": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    failed.status, failed.connect + failed.read + failed.write + failed.timeout
  ))
end
