package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
)

// fixture is a pool with a broker of its own, and what it reported.
type fixture struct {
	*Pool
	broker *kafka.Broker
	end    func() // of Run

	mu       sync.Mutex
	finished []Finished
	work     func(Job) error
}

// open opens a pool whose attempts all succeed, and lets it run.
func open(t *testing.T, config Config) *fixture {
	t.Helper()
	broker, err := kafka.Start(t.Context(), kafka.Config{Topics: Topics(), TopicConfigs: TopicConfigs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	return openAt(t, broker, config)
}

func openAt(t *testing.T, broker *kafka.Broker, config Config) *fixture {
	t.Helper()
	c := &fixture{broker: broker, work: func(Job) error { return nil }}
	config.Brokers = []string{broker.Address()}
	config.Backoff = 10 * time.Millisecond
	config.Work = func(j Job) error {
		c.mu.Lock()
		work := c.work
		c.mu.Unlock()
		return work(j)
	}
	config.Report = func(f Finished) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.finished = append(c.finished, f)
	}
	var err error
	if c.Pool, err = Open(config); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	c.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		c.Close()
	})
	t.Cleanup(c.end)
	return c
}

func (c *fixture) setWork(work func(Job) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work = work
}

// reports returns what was reported so far.
func (c *fixture) reports() []Finished {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.finished)
}

// outcomes counts the reports by outcome.
func (c *fixture) outcomes() map[string]int {
	counts := map[string]int{}
	for _, f := range c.reports() {
		counts[f.Outcome]++
	}
	return counts
}

func (c *fixture) enqueue(t *testing.T, queue string, n int) {
	t.Helper()
	for i := range n {
		if err := c.Enqueue(Job{Queue: queue, Task: "task", Client: fmt.Sprintf("client-%d", i%7), Args: map[string]string{"n": fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
	}
}

// sum adds up the counts of all queues.
func (c *fixture) sum() Count {
	var sum Count
	for _, n := range c.State().Queues {
		sum.Enqueued += n.Enqueued
		sum.Queued += n.Queued
		sum.Running += n.Running
		sum.Finished += n.Finished
		sum.Dead += n.Dead
		sum.Unsent += n.Unsent
		sum.Attempts += n.Attempts
		sum.Retried += n.Retried
	}
	return sum
}

// settled waits until no job is open.
func (c *fixture) settled(t *testing.T) {
	t.Helper()
	waitFor(t, "all jobs to be settled", func() bool { s := c.sum(); return s.Queued == 0 && s.Running == 0 })
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// otherClient returns a Kafka client that is not one of the pool's.
func otherClient(t *testing.T, c *fixture, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(c.broker.Address()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// group returns the state of the group and the number of its members.
func group(t *testing.T, client *kgo.Client) (string, int) {
	t.Helper()
	request := kmsg.NewPtrDescribeGroupsRequest()
	request.Groups = []string{Group}
	answer, err := request.RequestWith(t.Context(), client)
	if err != nil || len(answer.Groups) != 1 {
		t.Fatalf("group: %v", err)
	}
	return answer.Groups[0].State, len(answer.Groups[0].Members)
}

// endOffsets returns the number of records of each queue.
func endOffsets(t *testing.T, client *kgo.Client) map[string]int64 {
	t.Helper()
	request := kmsg.NewPtrListOffsetsRequest()
	for _, queue := range Queues() {
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = topicOf(queue)
		for partition := range int32(2) {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp = partition, -1
			topic.Partitions = append(topic.Partitions, p)
		}
		request.Topics = append(request.Topics, topic)
	}
	answer, err := request.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int64{}
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			all[queueOf(topic.Topic)] += p.Offset
		}
	}
	return all
}

// lag returns the group's lag by queue.
func lag(t *testing.T, client *kgo.Client) map[string]int64 {
	t.Helper()
	lags := endOffsets(t, client)
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Group = Group
	for _, queue := range Queues() {
		topic := kmsg.NewOffsetFetchRequestTopic()
		topic.Topic, topic.Partitions = topicOf(queue), []int32{0, 1}
		request.Topics = append(request.Topics, topic)
	}
	answer, err := request.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			lags[queueOf(topic.Topic)] -= max(p.Offset, 0)
		}
	}
	return lags
}

// noLag waits until everything is committed.
func noLag(t *testing.T, c *fixture) {
	t.Helper()
	client := otherClient(t, c)
	waitFor(t, "the commits", func() bool {
		for _, n := range lag(t, client) {
			if n != 0 {
				return false
			}
		}
		return true
	})
}

// deadLetters reads n dead letters, and checks that there are no more.
func deadLetters(t *testing.T, c *fixture, n int) []*kgo.Record {
	t.Helper()
	client := otherClient(t, c, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{DeadTopic: {0: kgo.NewOffset().At(0)}}))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("%d of %d dead letters: %v", len(all), n, err)
		}
		all = append(all, fetches.Records()...)
	}
	request := kmsg.NewPtrListOffsetsRequest()
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = DeadTopic
	partition := kmsg.NewListOffsetsRequestTopicPartition()
	partition.Timestamp = -1
	topic.Partitions = append(topic.Partitions, partition)
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(t.Context(), client)
	if err != nil || len(all) != n || answer.Topics[0].Partitions[0].Offset != int64(n) {
		t.Fatalf("%d dead letters read, want %d; the topic ends at %v, %v", len(all), n, answer, err)
	}
	return all
}

func TestEveryJobIsDoneOnceWithoutFailures(t *testing.T) {
	t.Parallel()
	c := open(t, Config{})
	for _, queue := range Queues() {
		c.enqueue(t, queue, 40)
	}
	c.settled(t)
	want := Count{Enqueued: 40, Finished: 40, Attempts: 40}
	for queue, n := range c.State().Queues {
		if diff := cmp.Diff(want, n); diff != "" {
			t.Errorf("%s (-want +got):\n%s", queue, diff)
		}
	}
	seen := map[string]bool{}
	for _, f := range c.reports() {
		if f.Outcome != Succeeded || f.Attempt != 1 || f.Wait < 0 || f.Err != nil || f.Task != "task" || !strings.HasPrefix(f.Client, "client-") {
			t.Errorf("report: %+v", f)
		}
		if key := f.Queue + f.Args["n"]; seen[key] {
			t.Errorf("job %s was done twice", key)
		} else {
			seen[key] = true
		}
	}
	if len(seen) != 200 {
		t.Errorf("%d jobs were done", len(seen))
	}
	noLag(t, c)
}

func TestWorkersShareTheWork(t *testing.T) {
	t.Parallel()
	c := open(t, Config{})
	client := otherClient(t, c)
	waitFor(t, "both workers to do some", func() bool {
		c.enqueue(t, Email, 7)
		workers := map[int]bool{}
		for _, f := range c.reports() {
			workers[f.Worker] = true
		}
		return workers[0] && workers[1]
	})
	waitFor(t, "the group to be stable", func() bool {
		state, members := group(t, client)
		return state == "Stable" && members == 2
	})
	c.settled(t)
	noLag(t, c)
}

func TestAJobThatFailsIsTriedThreeTimesAndThenADeadLetter(t *testing.T) {
	t.Parallel()
	c := open(t, Config{})
	begun := time.Now()
	c.setWork(func(j Job) error {
		switch j.Args["n"] {
		case "0": // never succeeds
			return errors.New("no paper")
		case "1":
			if j.Attempt == 1 {
				return errors.New("try again")
			}
		case "2":
			return fmt.Errorf("not today: %w", ErrFinal)
		case "3":
			return fmt.Errorf("odd format: %w", ErrPoison)
		}
		return nil
	})
	c.enqueue(t, Report, 5)
	c.settled(t)
	if diff := cmp.Diff(Count{Enqueued: 5, Finished: 3, Dead: 2, Attempts: 8, Retried: 3}, c.State().Queues[Report]); diff != "" {
		t.Errorf("books (-want +got):\n%s", diff)
	}
	got := map[string][]string{}
	for _, f := range c.reports() {
		got[f.Args["n"]] = append(got[f.Args["n"]], fmt.Sprint(f.Attempt, " ", f.Outcome))
	}
	want := map[string][]string{
		"0": {"1 retried", "2 retried", "3 dead"}, "1": {"1 retried", "2 succeeded"}, "2": {"1 failed"}, "3": {"1 dead"}, "4": {"1 succeeded"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	reasons := map[string]string{}
	for _, letter := range deadLetters(t, c, 2) {
		headers := map[string]string{}
		for _, h := range letter.Headers {
			headers[h.Key] = string(h.Value)
		}
		j, err := parseJob(letter)
		if err != nil || headers[QueueHeader] != Report || string(letter.Key) != j.Client || j.EnqueuedAt.Before(begun) {
			t.Errorf("dead letter %s %s: %v, headers %v", letter.Key, letter.Value, err, headers)
			continue
		}
		reasons[fmt.Sprint(j.Args["n"], " ", j.Attempt)] = headers[ReasonHeader]
	}
	if diff := cmp.Diff(map[string]string{"0 3": "no paper", "3 1": "odd format: poison"}, reasons); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
	noLag(t, c)
	if n := endOffsets(t, otherClient(t, c))[Report]; n != 8 {
		t.Errorf("%d records were written for 8 attempts", n)
	}
}

func TestARecordThatIsNoJobIsADeadLetter(t *testing.T) {
	t.Parallel()
	c := open(t, Config{})
	client := otherClient(t, c)
	for _, value := range []string{"", "{", `{"id":"x"}`, `{"id":"x","task":"y","attempt":0}`} {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "jobs.sync", Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	c.enqueue(t, Sync, 1)
	waitFor(t, "the letters", func() bool { return c.sum().Dead == 4 })
	c.settled(t)
	waitFor(t, "the jobs to be written", func() bool { return c.sum().Unsent == 0 })
	if diff := cmp.Diff(Count{Enqueued: 5, Finished: 1, Dead: 4, Attempts: 5}, c.State().Queues[Sync]); diff != "" {
		t.Errorf("books (-want +got):\n%s", diff)
	}
	deadLetters(t, c, 4)
	noLag(t, c)
}

func TestStoppedWorkersLeaveTheGroupAndComeBackToTheBacklog(t *testing.T) {
	t.Parallel()
	c := open(t, Config{})
	client := otherClient(t, c)
	c.enqueue(t, Email, 10)
	c.settled(t)
	for range 2 { // the second time they have left
		if err := c.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if state, members := group(t, client); state != "Empty" || members != 0 {
		t.Errorf("the group is %s with %d members", state, members)
	}
	if n := lag(t, client); n[Email] != 0 {
		t.Errorf("they left %d jobs that are done uncommitted", n[Email])
	}
	c.enqueue(t, Email, 30)
	c.enqueue(t, Image, 20)
	waitFor(t, "the jobs to be written", func() bool { return c.sum().Unsent == 0 })
	want := map[string]int64{Email: 30, Image: 20, Report: 0, Sync: 0, Webhook: 0}
	if diff := cmp.Diff(want, lag(t, client)); diff != "" {
		t.Errorf("lag (-want +got):\n%s", diff)
	}
	if n := c.State(); n.Workers != 0 || n.Queues[Email].Queued != 30 || n.Queues[Image].Queued != 20 || n.Queues[Email].Finished != 10 {
		t.Errorf("books: %+v", n)
	}
	c.Start()
	c.settled(t)
	noLag(t, c)
	if n := len(c.reports()); n != 60 || c.sum().Finished != 60 {
		t.Errorf("%d reports of 60 jobs: %+v", n, c.sum())
	}
}

func TestJobsThatTheBrokerDroppedAreLost(t *testing.T) {
	t.Parallel()
	c := open(t, Config{})
	c.enqueue(t, Image, 30)
	c.settled(t)
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.enqueue(t, Image, 50)
	waitFor(t, "the jobs to be written", func() bool { return c.sum().Unsent == 0 })
	client := otherClient(t, c)
	request := kmsg.NewPtrDeleteRecordsRequest()
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = topicOf(Image)
	for partition := range int32(2) {
		p := kmsg.NewDeleteRecordsRequestTopicPartition()
		p.Partition, p.Offset = partition, -1 // all of them
		topic.Partitions = append(topic.Partitions, p)
	}
	request.Topics = append(request.Topics, topic)
	if _, err := request.RequestWith(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	c.Start()
	c.enqueue(t, Image, 20) // of all clients, so that they are in both partitions
	c.settled(t)
	if diff := cmp.Diff(Count{Enqueued: 100, Finished: 50, Lost: 50, Attempts: 50}, c.State().Queues[Image]); diff != "" {
		t.Errorf("books (-want +got):\n%s", diff)
	}
	noLag(t, c)
}

func TestTheBacklogIsThereForTheNextProcess(t *testing.T) {
	t.Parallel()
	c := open(t, Config{})
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.enqueue(t, Webhook, 25)
	c.end()
	next := openAt(t, c.broker, Config{})
	waitFor(t, "the jobs of the first", func() bool { return next.sum().Finished == 25 })
	if diff := cmp.Diff(Count{Enqueued: 25, Finished: 25, Attempts: 25}, next.State().Queues[Webhook]); diff != "" {
		t.Errorf("books (-want +got):\n%s", diff)
	}
}

func TestPauseReportsNothingAndLosesNothing(t *testing.T) {
	t.Parallel()
	const atOnce = 16
	c := open(t, Config{Workers: 2, MaxInFlight: atOnce})
	some, pausing := make(chan struct{}, 20), make(chan struct{})
	c.setWork(func(Job) error { // most jobs are left when the pause begins, however late that is
		select {
		case some <- struct{}{}:
		case <-pausing:
		}
		return nil
	})
	c.enqueue(t, Sync, 300)
	waitFor(t, "some to be done", func() bool { return len(c.reports()) == cap(some) })
	paused := make(chan error, 1)
	go func() { paused <- c.Pause(t.Context()) }()
	waitFor(t, "the pause to begin", func() bool {
		c.pauseGate.mu.Lock()
		defer c.pauseGate.mu.Unlock()
		return c.pauseGate.paused
	})
	close(pausing)
	if err := <-paused; err != nil {
		t.Fatal(err)
	}
	quiet, state := len(c.reports()), c.State()
	if quiet == 300 || state.Queues[Sync].Running != 0 {
		t.Errorf("%d reports, %+v", quiet, state)
	}
	c.enqueue(t, Image, 5)
	waitFor(t, "the jobs to be written", func() bool { return c.sum().Unsent == 0 })
	client := otherClient(t, c)
	waitFor(t, "a worker with its hands full", func() bool { return c.State().Held >= atOnce })
	if n := len(c.reports()); n != quiet {
		t.Errorf("%d reports while paused", n-quiet)
	}
	if _, members := group(t, client); members != 2 {
		t.Errorf("%d members while paused", members)
	}
	c.Resume()
	c.settled(t)
	if diff := cmp.Diff(map[string]int{Succeeded: 305}, c.outcomes()); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func TestPauseEndsWithItsContextWhileAJobRuns(t *testing.T) {
	t.Parallel()
	c := open(t, Config{})
	begun, free := make(chan struct{}), make(chan struct{})
	c.setWork(func(Job) error { close(begun); <-free; return nil })
	c.enqueue(t, Sync, 1)
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Pause(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("pause: %v", err)
	}
	close(free)
	if err := c.Pause(t.Context()); err != nil {
		t.Error(err)
	}
	if c.sum().Finished != 1 {
		t.Errorf("paused, but %+v", c.sum())
	}
}

// Whatever happens to the broker and the workers, each attempt is made exactly once, and the counts add up.
func TestRestartsAndRebalancesLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	c := open(t, Config{Workers: 3})
	c.setWork(func(j Job) error {
		time.Sleep(2 * time.Millisecond) // the work of an attempt
		if j.Attempt < 3 && j.Args["n"] < "3" {
			return errors.New("try again")
		}
		if j.Args["n"] == "5" {
			return ErrPoison
		}
		return nil
	})
	jobs := 0
	add := func() {
		for _, queue := range Queues() {
			c.enqueue(t, queue, 40)
			jobs += 40
		}
	}
	for i := range 4 {
		add()
		waitFor(t, "some to be done", func() bool { return c.sum().Attempts > int64(i*80) })
		if err := c.broker.Stop(); err != nil {
			t.Fatal(err)
		}
		add()
		if i == 2 { // they leave a group that does not answer
			if err := c.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.Start()
		}
		if err := c.broker.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			add()
			waitFor(t, "some to be done", func() bool { return c.sum().Attempts > int64(i*80+200) })
			if err := c.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.Start()
		}
	}
	add()
	stranger, err := kgo.NewClient(kgo.SeedBrokers(c.broker.Address()), kgo.ConsumerGroup(Group), kgo.DisableAutoCommit(),
		kgo.ConsumeTopics(topicOf(Email), topicOf(Image), topicOf(Report), topicOf(Sync), topicOf(Webhook)))
	if err != nil {
		t.Fatal(err)
	}
	for taken := 0; taken == 0; add() { // it gets partitions and does nothing
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		taken = stranger.PollFetches(ctx).NumRecords()
		cancel()
	}
	stranger.Close()
	c.settled(t)
	s := c.sum()
	if s.Enqueued != int64(jobs) || s.Enqueued != s.Finished+s.Dead || s.Attempts != s.Finished+s.Dead+s.Retried || s.Unsent != 0 {
		t.Errorf("books of %d jobs: %+v", jobs, s)
	}
	attempts := map[string]int{}
	for _, f := range c.reports() {
		attempts[fmt.Sprint(f.ID, " ", f.Attempt)]++
	}
	for attempt, n := range attempts {
		if n != 1 {
			t.Errorf("attempt %s was made %d times", attempt, n)
		}
	}
	if diff := cmp.Diff(map[string]int{Succeeded: int(s.Finished), Dead: int(s.Dead), Retried: int(s.Retried)}, c.outcomes()); diff != "" {
		t.Errorf("outcomes (-books +reports):\n%s", diff)
	}
	if s.Dead == 0 || s.Retried == 0 {
		t.Errorf("hardly anything happened: %+v", s)
	}
	deadLetters(t, c, int(s.Dead))
	noLag(t, c)
}

// As in the stream (TestAConnectionThatIsCutAtOnceIsTriedAgain).
func TestAConnectionThatIsCutAtOnceIsTriedAgain(t *testing.T) {
	t.Parallel()
	p, err := Open(Config{Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	w, err := p.newWorker(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	for name, client := range map[string]*kgo.Client{"outbox": p.out.client, "worker": w.client} {
		if again := client.OptValue(kgo.AlwaysRetryEOF); again != true {
			t.Errorf("%s: the option is %v", name, again)
		}
	}
}

func TestWithoutABrokerJobsWaitUpToABound(t *testing.T) {
	t.Parallel()
	c := open(t, Config{Buffer: 10})
	if err := c.broker.Stop(); err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		if err := c.Enqueue(Job{Queue: Email, Task: "task"}); errors.Is(err, ErrFull) != (i >= 10) {
			t.Errorf("job %d: %v", i, err)
		}
	}
	if n := c.State().Queues[Email]; n.Enqueued != 10 || n.Unsent != 10 {
		t.Errorf("books: %+v", n)
	}
	if err := c.broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "what waited", func() bool { return c.sum().Finished == 10 })
	if err := c.Enqueue(Job{Queue: "nonsense", Task: "task"}); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an unknown queue: %v", err)
	}
}

func TestTopicConfigsSetTheRetention(t *testing.T) {
	t.Parallel()
	c := open(t, Config{})
	request := kmsg.NewPtrDescribeConfigsRequest()
	for topic := range Topics() {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{"retention.ms"}
		request.Resources = append(request.Resources, r)
	}
	for range 2 {
		answer, err := request.RequestWith(t.Context(), otherClient(t, c))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, r := range answer.Resources {
			got[r.ResourceName] = *r.Configs[0].Value
		}
		want := map[string]string{DeadTopic: "3600000"}
		for _, queue := range Queues() {
			want["jobs."+queue] = "21600000"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("retention (-want +got):\n%s", diff)
		}
		if err := c.broker.Stop(); err != nil { // and the second time
			t.Fatal(err)
		}
		if err := c.broker.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if topics := slices.Sorted(maps.Keys(TopicConfigs())); len(topics) != 6 {
		t.Errorf("topics: %v", topics)
	}
}
