// Package escalation is the room where rules, routing and acknowledgement are tried together, with the servers that they run on and a clock that goes
// faster: is the right person notified, once, in time, whatever is restarted meanwhile? It holds tests in real time only, with the build tag acceptance, of
// what no part can promise alone. What fires is synthetic; how it is notified and escalates is what is shipped.
package escalation
