// Package acceptance tests whole stacks in real time, with the rules, routing and servers of production: which alerts each fault fires, that a day
// without faults fires none, and the events of a drill. Its tests have the build tag acceptance, and run alone on the machine (`make acceptance`).
// What can be tested without real time belongs into `make test`.
package acceptance
