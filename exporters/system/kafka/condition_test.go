package kafka

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// TestConditionsFollowBurrowsRules gives each rule the observations that it is for, and those just beside it.
func TestConditionsFollowBurrowsRules(t *testing.T) {
	t.Parallel()
	type obs = [2]int64 // committed, lag
	steps := func(n int, f func(i int64) obs) (all []obs) {
		for i := range n {
			all = append(all, f(int64(i)))
		}
		return all
	}
	for name, tt := range map[string]struct {
		allowed      int64
		abandoned    bool
		observations []obs
		want         condition
	}{
		"nothing seen":                                {want: undecided},
		"nothing to read":                             {observations: []obs{{5, 0}}, want: conditionOK},
		"nothing to read, and nobody there":           {abandoned: true, observations: steps(30, func(int64) obs { return obs{5, 0} }), want: conditionOK},
		"one look at a lag":                           {observations: []obs{{5, 7}}, want: undecided},
		"a lag that grows, too short to say":          {observations: steps(conditionWindow-1, func(i int64) obs { return obs{i, 5 + i} }), want: undecided},
		"a lag that grows":                            {observations: steps(conditionWindow, func(i int64) obs { return obs{i, 5 + i} }), want: conditionLagging},
		"a lag that stays":                            {observations: steps(conditionWindow, func(i int64) obs { return obs{i, 5} }), want: conditionLagging},
		"a lag that fell once":                        {observations: append(steps(5, func(i int64) obs { return obs{i, 9 + i} }), steps(8, func(i int64) obs { return obs{9 + i, 4 + i} })...), want: conditionOK},
		"a lag that fell long ago":                    {observations: append(steps(5, func(i int64) obs { return obs{i, 9 + i} }), steps(11, func(i int64) obs { return obs{9 + i, 4 + i} })...), want: conditionLagging},
		"a lag that was nothing once":                 {observations: append([]obs{{9, 0}}, steps(9, func(i int64) obs { return obs{9, 4 + i} })...), want: conditionOK},
		"a lag that was nothing long ago":             {observations: append([]obs{{9, 0}}, steps(10, func(i int64) obs { return obs{9 + i, 4 + i} })...), want: conditionLagging},
		"a lag within what is allowed":                {allowed: 100, observations: steps(30, func(i int64) obs { return obs{5, 70 + i} }), want: conditionOK},
		"a lag just beyond what is allowed":           {allowed: 98, observations: append([]obs{{5, 99}}, steps(30, func(i int64) obs { return obs{5, 99} })...), want: conditionStalled},
		"nothing committed":                           {observations: steps(conditionWindow, func(i int64) obs { return obs{5, 1 + i} }), want: conditionStalled},
		"nothing committed, too short to say":         {observations: steps(conditionWindow-1, func(i int64) obs { return obs{5, 1 + i} }), want: undecided},
		"nothing committed, and nobody there":         {abandoned: true, observations: steps(conditionWindow, func(i int64) obs { return obs{5, 1} }), want: conditionStopped},
		"nobody there, but all was read a while ago":  {abandoned: true, observations: append([]obs{{5, 0}}, steps(9, func(i int64) obs { return obs{5, 1 + i} })...), want: conditionOK},
		"nobody there, and all was read long ago":     {abandoned: true, observations: append([]obs{{5, 0}}, steps(10, func(i int64) obs { return obs{5, 1 + i} })...), want: conditionStopped},
		"nobody there, but it commits by itself":      {abandoned: true, observations: steps(20, func(i int64) obs { return obs{i, 100 - i} }), want: conditionOK},
		"back, and not there again":                   {observations: []obs{{50, 0}, {10, 40}, {20, 30}}, want: conditionRewound},
		"back, and there again":                       {observations: []obs{{50, 10}, {10, 50}, {51, 9}}, want: conditionOK},
		"back, and then back further":                 {observations: []obs{{50, 10}, {30, 30}, {40, 20}, {10, 50}, {45, 15}}, want: conditionRewound},
		"back long ago, catching up":                  {observations: append([]obs{{50, 0}}, steps(11, func(i int64) obs { return obs{i, 50 - i} })...), want: conditionOK},
		"back long ago, and still since":              {observations: append([]obs{{50, 0}}, steps(11, func(i int64) obs { return obs{3, 47} })...), want: conditionStalled},
		"back to where nothing is to read":            {observations: []obs{{50, 0}, {10, 0}}, want: conditionOK},
		"back, when a lag was nothing a moment ago":   {observations: []obs{{50, 0}, {50, 0}, {1, 49}}, want: conditionRewound},
		"many rounds later the ages have no overflow": {observations: steps(1000, func(i int64) obs { return obs{5, 1} }), want: conditionStalled},
	} {
		t.Run(name, func(t *testing.T) {
			var c progress
			for _, o := range tt.observations {
				c.observe(o[0], o[1], tt.allowed)
			}
			if got := c.condition(tt.allowed, tt.abandoned); got != tt.want {
				t.Errorf("%q, want %q: %+v", got, tt.want, c)
			}
		})
	}
}

func conditionOf(series map[string]float64, group string) string {
	is := ""
	for _, c := range catalog.GroupConditions() {
		if series[fmt.Sprintf("group_condition{group=%q,condition=%q}", group, c)] == 1 {
			is += c
		}
	}
	return is
}

// TestGroupsAreInTheConditionOfTheirWorstPartition lets groups live through each condition.
func TestGroupsAreInTheConditionOfTheirWorstPartition(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{AllowedLag: 2}, kfake.SeedTopics(2, "jobs.email"))
	offsets := make([]int64, 2)
	produce := func(n int) {
		for range n {
			r.produce(t, "jobs.email", 0, 0)
			r.produce(t, "jobs.email", 1, 0)
			offsets[0], offsets[1] = offsets[0]+1, offsets[1]+1
		}
	}
	produce(30)
	r.commit(t, "abandoned", "jobs.email", 5, 30)
	present := r.member(t, "present", "jobs.email")
	commitFrom(t, present, "jobs.email", 5, 30)
	series := r.round(t)
	for _, group := range []string{"abandoned", "present"} {
		if got := conditionOf(series, group); got != "" {
			t.Errorf("after one look the condition of %s is %q", group, got)
		}
	}
	expect(t, series, map[string]float64{
		`group_members{group="abandoned"}`: 0, `group_members{group="present"}`: 1,
		`group_state{group="abandoned",state="empty"}`: 1, `group_state{group="present",state="stable"}`: 1,
		`group_state{group="present",state="empty"}`: 0,
	})

	series = r.rounds(t, conditionWindow, func(int) { r.commit(t, "moving", "jobs.email", offsets[0], offsets[1]) })
	for group, want := range map[string]string{"abandoned": "stopped", "present": "stalled", "moving": "ok"} {
		if got := conditionOf(series, group); got != want {
			t.Errorf("%s is %q, want %q", group, got, want)
		}
	}

	// The one reads on, ever slower; the other is reset.
	series = r.rounds(t, conditionWindow+1, func(i int) {
		produce(2)
		commitFrom(t, present, "jobs.email", int64(5+i), offsets[1])
		if i == conditionWindow {
			r.commit(t, "abandoned", "jobs.email", 3, 30)
		}
	})
	for group, want := range map[string]string{"abandoned": "rewound", "present": "lagging"} {
		if got := conditionOf(series, group); got != want {
			t.Errorf("%s is %q, want %q", group, got, want)
		}
	}
	commitFrom(t, present, "jobs.email", offsets[0]-2, offsets[1])
	r.commit(t, "abandoned", "jobs.email", offsets[0], offsets[1])
	series = r.round(t)
	for _, group := range []string{"abandoned", "present"} {
		if got := conditionOf(series, group); got != "ok" {
			t.Errorf("%s is %q, want ok", group, got)
		}
	}
}

// A group of the consumer protocol (KIP-848) is not what DescribeGroups says of it: Kafka answers that it is dead, this cluster
// that it has no members.
func TestGroupsOfTheConsumerProtocolAreReportedCorrectly(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{}, kfake.NumBrokers(2), kfake.SeedTopics(4, "jobs.email"),
		kfake.BrokerConfigs(map[string]string{"group.consumer.heartbeat.interval.ms": "100"}))
	first := r.member(t, "workers", "jobs.email", kgo.ServerSideBalancer())
	r.member(t, "workers", "jobs.email", kgo.ServerSideBalancer())
	if _, err := r.cluster.WaitGroupStable(t.Context(), "workers", 2); err != nil {
		t.Fatal(err)
	}
	if state, members := (&kafkaAdmin{t, r}).describe("workers"); members != 0 {
		t.Fatalf("DescribeGroups says %s and %d members: the test proves nothing", state, members)
	}
	for partition := range int32(4) {
		r.produce(t, "jobs.email", partition, 0)
	}
	commitFrom(t, first, "jobs.email", 1, 0, 1, 0)
	count := r.countRequests()
	series := r.round(t)
	for _, by := range count.take() {
		if by["DescribeGroups"] != 0 {
			t.Error("DescribeGroups is asked")
		}
	}
	expect(t, series, map[string]float64{
		`group_state{group="workers",state="stable"}`: 1, `group_state{group="workers",state="dead"}`: 0,
		`group_members{group="workers"}`: 2, lagCount: 2,
	})
}

// A group that has stopped keeps all its series.
func TestAGroupThatStoppedKeepsItsSeries(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	r.produce(t, "jobs.email", 0, 0, 0, 0)
	client := r.member(t, "workers", "jobs.email")
	commitFrom(t, client, "jobs.email", 1, 0)
	before := r.rounds(t, 2, nil)
	client.LeaveGroup()
	client.Close()
	if _, err := r.cluster.WaitGroupInfo(t.Context(), "workers", func(g *kfake.GroupInfo) bool { return g == nil || len(g.Members) == 0 }); err != nil {
		t.Fatal(err)
	}
	after := r.rounds(t, 20, nil)
	for name := range before {
		if _, ok := after[name]; !ok {
			t.Errorf("%s is gone", name)
		}
	}
	expect(t, after, map[string]float64{`group_members{group="workers"}`: 0, `group_state{group="workers",state="empty"}`: 1, lagCount: 2})
	near(t, after, lagSeconds, 21*testSchedule.Interval)
	if got := conditionOf(after, "workers"); got != "stopped" {
		t.Errorf("condition %q", got)
	}
}
