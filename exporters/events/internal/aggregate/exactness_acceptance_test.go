//go:build acceptance

package aggregate

import "testing"

// The model tests of every change run a few rounds, always the same. These run many, with another seed each time.

func TestShardsMatchANaiveReferenceForLong(t *testing.T) {
	t.Parallel()
	inRounds(t, 250, againstReference)
}

func TestIncreasesInPrometheusEqualWhatWasProducedForLong(t *testing.T) {
	t.Parallel()
	inRounds(t, 120, throughCrashes)
}
