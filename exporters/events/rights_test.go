package events_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// documentedACLs runs the script that operators run, with something in place of Kafka's own program that writes down what it is asked for.
func documentedACLs(t *testing.T) []kfake.ACL {
	t.Helper()
	dir := t.TempDir()
	asked := filepath.Join(dir, "asked")
	if err := os.WriteFile(filepath.Join(dir, "kafka-acls.sh"), []byte("#!/bin/sh\necho \"$@\" >>"+asked+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	serverstest.Inputs(t, "../../deploy/kafka/acls-events.sh")
	script := exec.CommandContext(t.Context(), "sh", "../../deploy/kafka/acls-events.sh", "--command-config", "admin.properties")
	script.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "BOOTSTRAP=kafka:9092")
	if said, err := script.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	text, err := os.ReadFile(asked)
	if err != nil {
		t.Fatal(err)
	}
	operations := map[string]kmsg.ACLOperation{"Describe": kmsg.ACLOperationDescribe, "Read": kmsg.ACLOperationRead}
	resources := map[string]kmsg.ACLResourceType{"topic": kmsg.ACLResourceTypeTopic, "group": kmsg.ACLResourceTypeGroup}
	var acls []kfake.ACL
	for line := range strings.Lines(string(text)) {
		var operation, resource, name string
		if _, err := fmt.Sscanf(line, "--bootstrap-server kafka:9092 --add --allow-principal User:consignwatch --operation %s --%s %s --command-config admin.properties", &operation, &resource, &name); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if operations[operation] == 0 || resources[resource] == 0 {
			t.Fatalf("the script gives more than it should: %s", line)
		}
		acls = append(acls, kfake.ACL{Resource: resources[resource], Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: operations[operation], Allow: true})
	}
	return acls
}

func TestTheDocumentedRightsAreEnough(t *testing.T) {
	t.Parallel()
	acls := documentedACLs(t)
	if len(acls) != 7 {
		t.Errorf("%d rights, want two on each of three topics and one on the group", len(acls))
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, telemetry, commerce, "consign.integration"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "admin", secret), kfake.User("PLAIN", "consignwatch", secret, acls...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.SASL(plain.Auth{User: "admin", Pass: secret}.AsMechanism()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	write := func(records ...record) {
		t.Helper()
		for _, r := range records {
			if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: r.topic, Value: []byte(r.value)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(times(5, request("anna"))...)
	dir := folder(t, map[string]string{
		"password": secret + "\n",
		"config.yml": fmt.Sprintf("kafka:\n  brokers: [%q]\n  instance_id: events-1\n  sasl: {mechanism: PLAIN, username: consignwatch, password_file: password}\n%s",
			cluster.ListenAddrs()[0], anonymousScraper),
	})
	r := followFile(t, filepath.Join(dir, "config.yml"))
	r.await(t, map[string]float64{requests("anna"): 5, success: 1})
	write(order("o-1", "anna"))
	r.await(t, map[string]float64{requests("anna"): 5, orders("anna"): 1, success: 1})
}
