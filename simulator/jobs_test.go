package simulator

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// jobsEmitted counts the emitted attempts of a queue, by outcome.
func jobsEmitted(p *Platform, queue string) map[string]int {
	emitted := map[string]int{}
	for _, outcome := range []string{jobs.Succeeded, jobs.Failed, jobs.Retried, jobs.Dead} {
		emitted[outcome] = streamTruthOf(p, "consign_jobs_total", "queue", queue, "outcome", outcome)
	}
	return emitted
}

// compareJobs compares the emitted attempts with the counts of the queues.
func compareJobs(t *testing.T, p *Platform) {
	t.Helper()
	for queue, n := range p.State().Jobs.Queues {
		emitted := jobsEmitted(p, queue)
		got := jobs.Count{
			Finished: int64(emitted[jobs.Succeeded] + emitted[jobs.Failed]), Dead: int64(emitted[jobs.Dead]), Retried: int64(emitted[jobs.Retried]),
			Attempts: int64(streamTruthOf(p, "consign_jobs_total", "queue", queue)),
		}
		if diff := cmp.Diff(jobs.Count{Finished: n.Finished, Dead: n.Dead, Retried: n.Retried, Attempts: n.Attempts}, got); diff != "" {
			t.Errorf("%s (-books +stream):\n%s", queue, diff)
		}
		if n.Running != 0 || n.Enqueued != n.Queued+n.Finished+n.Dead {
			t.Errorf("%s: the books do not add up: %+v", queue, n)
		}
	}
}

func queueBooks(p *Platform, queue string) jobs.Count { return p.State().Jobs.Queues[queue] }

func TestJobsAndWhatFollowsFromThemAreEmittedAsTheyWent(t *testing.T) {
	t.Parallel()
	p := startWithStream(t, lively())
	livePlatform(t, p)
	switchOn(t, p, faults.JobsFailing)
	waitFor(t, "dead letters of many queues", func() bool {
		for queue, n := range p.State().Jobs.Queues {
			if queue != jobs.Report && (n.Dead == 0 || n.Finished == 0) { // reports are rare
				return false
			}
		}
		return true
	})
	pause(t, p)
	compareJobs(t, p)
	compareStream(t, p)
	mails, webhooks := jobsEmitted(p, jobs.Email), jobsEmitted(p, jobs.Webhook)
	of := func(outcome string) int { return streamTruthOf(p, "consign_emails_total", "outcome", outcome) }
	if n := of("queued"); n != int(queueBooks(p, jobs.Email).Enqueued) {
		t.Errorf("%d emails were queued: %+v", n, queueBooks(p, jobs.Email))
	}
	if n := of("sent") + of("rejected"); n != mails[jobs.Succeeded] {
		t.Errorf("%d emails were sent by %d jobs", n, mails[jobs.Succeeded])
	}
	if n := streamTruthOf(p, "consign_webhooks_received_total", "outcome", "accepted"); n != int(queueBooks(p, jobs.Webhook).Enqueued) {
		t.Errorf("%d webhooks were accepted: %+v", n, queueBooks(p, jobs.Webhook))
	}
	for outcome, n := range webhooks {
		if emitted := streamTruthOf(p, "consign_webhooks_processed_total", "outcome", outcome); emitted != n {
			t.Errorf("%d webhooks were %s by %d jobs", emitted, outcome, n)
		}
	}
	if n := streamTruthOf(p, "consign_sync_runs_total"); n != int(queueBooks(p, jobs.Sync).Enqueued) {
		t.Errorf("%d syncs: %+v", n, queueBooks(p, jobs.Sync))
	}
	if n := streamTruthOf(p, "consign_recoveries_total", "mechanism", "retry", "component", "worker", "outcome", world.Failed); n == 0 {
		t.Error("every retry helped")
	}
}

func TestNoJobDiesOnceTheyDoNotFailAnyMore(t *testing.T) {
	t.Parallel()
	p := startWithStream(t, flawless())
	livePlatform(t, p)
	switchOn(t, p, faults.JobsFailing)
	waitFor(t, "dead letters", func() bool { return queueBooks(p, jobs.Webhook).Dead > 0 })
	pause(t, p) // no attempt that is sure to fail is running
	switchOff(t, p, faults.JobsFailing)
	before := queueBooks(p, jobs.Webhook)
	p.Resume()
	waitFor(t, "normal life", func() bool { return queueBooks(p, jobs.Webhook).Finished > before.Finished+40 })
	if after := queueBooks(p, jobs.Webhook); after.Dead != before.Dead || after.Retried != before.Retried {
		t.Errorf("webhooks failed in normal life: %+v, before %+v", after, before)
	}
}

// flawless is lively without random failures.
func flawless() Config {
	config := lively()
	config.Flawless = true
	return config
}

func TestStoppedWorkersLetJobsPileUp(t *testing.T) {
	t.Parallel()
	p := startWithStream(t, lively())
	livePlatform(t, p)
	waitFor(t, "jobs", func() bool { return queueBooks(p, jobs.Email).Finished > 20 })
	switchOn(t, p, faults.WorkersStopped)
	if n := p.State().Jobs.Workers; n != 0 {
		t.Errorf("%d workers", n)
	}
	flush(t, p)
	emitted := streamTruthOf(p, "consign_jobs_total")
	waitFor(t, "jobs to pile up", func() bool { return queueBooks(p, jobs.Email).Queued > 5 && queueBooks(p, jobs.Sync).Queued > 20 })
	pause(t, p)
	compareJobs(t, p)
	piled := p.State().Jobs.Queues
	attempts := int64(0)
	for _, n := range piled {
		attempts += n.Attempts
	}
	if now := streamTruthOf(p, "consign_jobs_total"); int64(now) != attempts || now != emitted {
		t.Errorf("%d jobs were emitted, %d before the workers stopped; %d attempts", now, emitted, attempts)
	}
	p.Resume()
	if err := p.Faults().Off(t.Context(), faults.WorkersStopped, ""); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the backlog to be processed", func() bool {
		now := p.State().Jobs
		return now.Workers == 2 && now.Queues[jobs.Email].Queued < 3 && now.Queues[jobs.Sync].Finished > piled[jobs.Sync].Enqueued
	})
	pause(t, p)
	compareJobs(t, p)
	compareStream(t, p)
}

func TestOneClientsJobsFail(t *testing.T) {
	t.Parallel()
	p := startWithStream(t, flawless())
	livePlatform(t, p)
	slug := p.State().Clients[2]
	if err := p.Faults().On(t.Context(), faults.JobsFailing, slug); err != nil {
		t.Fatal(err)
	}
	dead := func(client string) int {
		return streamTruthOf(p, "consign_client_jobs_total", "client", client, "outcome", jobs.Dead)
	}
	waitFor(t, "dead letters", func() bool { return dead(slug) > 20 })
	for _, other := range p.State().Clients {
		if n := dead(other); other != slug && n > 0 {
			t.Errorf("%s has %d dead letters", other, n)
		}
	}
}

func TestAPoisonedQueueDiesAtTheFirstAttempt(t *testing.T) {
	t.Parallel()
	p := startWithStream(t, flawless())
	livePlatform(t, p)
	waitFor(t, "images", func() bool { return queueBooks(p, jobs.Image).Finished > 0 })
	pause(t, p) // no job that can still be read is in progress
	switchOn(t, p, faults.DeadLetters)
	before := queueBooks(p, jobs.Image)
	p.Resume()
	waitFor(t, "dead letters", func() bool { return queueBooks(p, jobs.Image).Dead > before.Dead+10 })
	pause(t, p)
	compareJobs(t, p)
	now := queueBooks(p, jobs.Image)
	if now.Retried != before.Retried || now.Finished != before.Finished {
		t.Errorf("images: %+v, before %+v", now, before)
	}
	if n := queueBooks(p, jobs.Email); n.Dead > 0 {
		t.Errorf("emails: %+v", n)
	}
	if err := p.Faults().Off(t.Context(), faults.DeadLetters, ""); err != nil {
		t.Fatal(err)
	}
	p.Resume()
	waitFor(t, "images", func() bool { return queueBooks(p, jobs.Image).Finished > now.Finished+5 })
}

// While paused, jobs wait in their queues, with those that Do enqueues.
func TestPausedWorkersReportNothing(t *testing.T) {
	t.Parallel()
	p := startWithStream(t, lively())
	livePlatform(t, p)
	waitFor(t, "jobs", func() bool { return queueBooks(p, jobs.Email).Finished > 20 })
	pause(t, p)
	queued, before := queueBooks(p, jobs.Email).Queued, streamTruthOf(p, "consign_jobs_total")
	if err := p.Do(t.Context(), "register", func(b *world.Books, c *store.Change) error {
		event := b.Events.Get(b.EventConsignors[0].EventID)
		for range 5 {
			consignor := world.Consignor{ID: c.NewID(world.Consignor{}), ClientID: event.ClientID, Active: true, CreatedAt: p.store.Now(), SyncStatus: world.Completed}
			c.Insert(consignor, world.EventConsignor{ID: c.NewID(world.EventConsignor{}), EventID: event.ID, ConsignorID: consignor.ID, Type: world.Super, CreatedAt: p.store.Now()})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	flush := func() string {
		if err := p.FlushStream(t.Context()); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(p.StreamTruth())
	}
	quiet := flush()
	waitFor(t, "jobs in hand", func() bool { return p.State().Jobs.Held >= 5 })
	finishRound(p)
	for range 10 { // long enough for many events
		p.emitter.EmitTelemetry(world.LongestStep)
	}
	if now := flush(); now != quiet {
		t.Fatalf("something was emitted while paused:\n%s", cmp.Diff(quiet, now))
	}
	if n := queueBooks(p, jobs.Email); n.Queued != queued+5 || n.Running != 0 || streamTruthOf(p, "consign_jobs_total") != before {
		t.Errorf("emails: %+v; %d waited before", n, queued)
	}
	compareJobs(t, p)
	p.Resume()
	waitFor(t, "the jobs", func() bool { return streamTruthOf(p, "consign_jobs_total") > before+int(queued)+5 })
}

// TestNothingFailsAtRandomOnAFlawlessPlatform works at hundreds of jobs, of which some otherwise fail.
func TestNothingFailsAtRandomOnAFlawlessPlatform(t *testing.T) {
	t.Parallel()
	config := flawless()
	config.Acceleration = 20 // many syncs
	p := startWithStream(t, config)
	livePlatform(t, p)
	waitFor(t, "many jobs and syncs", func() bool { return queueBooks(p, jobs.Sync).Finished > 600 })
	pause(t, p)
	for queue, n := range p.State().Jobs.Queues {
		if n.Retried > 0 || n.Dead > 0 {
			t.Errorf("%s: %+v", queue, n)
		}
	}
	for metric, labels := range map[string][]string{
		"consign_sync_runs_total": {"outcome", world.Failed}, "consign_processes_total": {"outcome", world.Failed}, "consign_client_api_requests_total": {"code_class", "5xx"},
		"consign_recoveries_total": {"outcome", world.Failed}, "consign_sync_conflicts_total": nil,
	} {
		if n := streamTruthOf(p, metric, labels...); n > 0 {
			t.Errorf("%s%v: %d", metric, labels, n)
		}
	}
}
