package simulator

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

func TestTopicsThatBrokersLackAreCreated(t *testing.T) {
	t.Parallel()
	broker, err := kafka.Start(t.Context(), kafka.Config{Topics: map[string]int32{"jobs.email": 7}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	for range 2 { // the second time all are there
		if err := CreateTopics(t.Context(), []string{broker.Address()}); err != nil {
			t.Fatal(err)
		}
	}

	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Address()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	metadata := kmsg.NewPtrMetadataRequest()
	answer, err := metadata.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int32{}
	for _, topic := range answer.Topics {
		got[*topic.Topic] = int32(len(topic.Partitions))
	}
	want := Topics()
	want["jobs.email"] = 7 // as it was
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}

	describe := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.ConfigNames = kmsg.ConfigResourceTypeTopic, "jobs.dead", []string{"retention.ms"}
	describe.Resources = append(describe.Resources, resource)
	configs, err := describe.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if all := configs.Resources[0].Configs; len(all) != 1 || all[0].Value == nil || *all[0].Value != "3600000" {
		t.Errorf("retention of dead letters: %+v, want an hour", all)
	}
}

// A broker that starts later than the platform gets its topics all the same.
func TestTopicsAreCreatedOnceABrokerAnswers(t *testing.T) {
	t.Parallel()
	broker, err := kafka.Start(t.Context(), kafka.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	between := exportertest.NewFaultProxy(t, broker.Address())
	between.Set(exportertest.HangUp)
	created := make(chan error, 1)
	go func() { created <- CreateTopics(t.Context(), []string{between.Address()}) }()
	waitFor(t, "a request without an answer", func() bool { return between.OpenConnections() > 0 })
	between.Set(exportertest.Forward)
	if err := <-created; err != nil {
		t.Fatal(err)
	}
}

func TestTopicsAreGivenUpWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0") // accepts connections and does not answer
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := CreateTopics(ctx, []string{listener.Addr().String()}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "create topics") {
		t.Errorf("%v, want the deadline", err)
	}
}
