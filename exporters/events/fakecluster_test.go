package events_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// fakeCluster is the library's cluster itself, for the tests in which a broker misbehaves: its Control functions answer in
// the broker's place.
type fakeCluster struct{ *kfake.Cluster }

func (c fakeCluster) Address() string { return c.ListenAddrs()[0] }

// startFakeCluster starts a cluster of one broker with the usual topics.
func startFakeCluster(t *testing.T, partitions int32, options ...kfake.Opt) fakeCluster {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.SeedTopics(partitions, telemetry, commerce, integration), kfake.GroupMinSessionTimeout(time.Second),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return fakeCluster{cluster}
}
