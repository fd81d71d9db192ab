// Package rehearsal is the room where rules, routing and acknowledgement are tried together, with the servers that they run on and a clock
// that goes faster: does the right person hear of it, once, in time, whatever is restarted meanwhile? It holds tests only, of what no part can
// promise alone. What fires is made up; how it is told and escalates is what is shipped.
package rehearsal
