package bundle

import (
	"time"

	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/promql"
)

const (
	// evaluationInterval is the longest evaluation interval of a group without its own that the rules are written for. In the demo it is shorter.
	evaluationInterval = 15 * time.Second
	// slowestGroup is the longest interval of a group, with which its recordings do not become stale between two evaluations.
	slowestGroup = promql.Lookback
)

// timing checks the interval of a rule's group, and `for` and `keep_firing_for`.
func (k *checker) timing(r *rule) {
	if r.interval > slowestGroup {
		k.rulef(r, "its group is evaluated every %s: what it records is stale after %s", model.Duration(r.interval), model.Duration(slowestGroup))
	}
	for name, wait := range map[string]model.Duration{"for": r.For, "keep_firing_for": r.KeepFiringFor} {
		if wait != 0 && time.Duration(wait) < 2*r.interval {
			k.rulef(r, "%s: %s is shorter than two evaluations (one each %s): say 0, or more", name, wait, model.Duration(r.interval))
		}
	}
}
