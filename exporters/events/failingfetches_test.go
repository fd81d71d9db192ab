package events_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fetches of one topic fail, while the brokers still describe it and say where it ends. The others are counted.
func TestATopicWhoseFetchesFailNeverLooksHealthy(t *testing.T) {
	t.Parallel()
	for reason, failure := range map[string]*kerr.Error{"auth": kerr.TopicAuthorizationFailed, "connection": kerr.KafkaStorageError} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			c := startFakeCluster(t, 1)
			write(t, c, times(10, request("anna"))...)
			r := follow(t, c.Address(), "")
			r.await(t, map[string]float64{requests("anna"): 10, success: 1})
			fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: telemetry, Err: failure, Count: -1})
			write(t, c, append(times(5, request("anna")), order("1", "anna"))...)
			got := r.awaitThat(t, fmt.Sprintf("the topic is behind, and the collector fails with %s", reason), func(got map[string]float64) bool {
				return isDown(reason)(got) && got[lag(telemetry, 0)] == 5 && got[orders("anna")] == 1
			})
			if n := got[requests("anna")]; n != 10 {
				t.Errorf("%v requests are counted, want 10", n)
			}
			if want := telemetry + "/0: " + failure.Message; !strings.Contains(r.Log(), want) {
				t.Errorf("the log does not say %s:\n%s", want, tail(r.Log()))
			}
			fault.Remove()
			r.await(t, map[string]float64{requests("anna"): 15, lag(telemetry, 0): 0, success: 1})
		})
	}
}
