package aggregate

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
)

// samples are one event of each type, with data as the contract has it.
var samples = []struct{ typ, data string }{
	{"consign.api.request", `{"route":"/api/items/{id}","method":"GET","status":200,"duration_seconds":0.0123}`},
	{"consign.db.query", `{"operation":"select","table":"items","outcome":"ok","duration_seconds":0.0031}`},
	{"consign.db.pool", `{"pool":"main","in_use":7,"idle":3,"max":20,"waits":0}`},
	{"consign.worker.threads", `{"pool":"jobs","busy":5,"max":16}`},
	{"consign.cache.operation", `{"operation":"get","result":"hit","duration_seconds":0.0004}`},
	{"consign.external.call", `{"service":"shopify","operation":"products.list","outcome":"ok","duration_seconds":0.31}`},
	{"consign.job.finished", `{"queue":"image","task":"resize","outcome":"succeeded","attempt":1,"wait_seconds":0.8,"duration_seconds":2.25}`},
	{"consign.error.raised", `{"category":"business","kind":"validation","component":"api","user_visible":true,"feature":"items.create"}`},
	{"consign.recovery.attempted", `{"mechanism":"retry","component":"sync","outcome":"succeeded"}`},
	{"consign.session.started", `{"role":"shopper"}`},
	{"consign.session.ended", `{"role":"shopper","duration_seconds":754.5}`},
	{"consign.feature.used", `{"feature":"search","role":"shopper"}`},
	{"consign.security.violation", `{"kind":"forged_token"}`},
	{"consign.order.placed", `{"event":"spring-2026","channel":"online","items":3,"amount_cents":4599,"currency":"USD"}`},
	{"consign.order.refunded", `{"event":"spring-2026","items":1,"amount_cents":1599,"currency":"USD","reason":"damaged"}`},
	{"consign.item.listed", `{"event":"spring-2026","category":"toys"}`},
	{"consign.item.sold", `{"event":"spring-2026","category":"toys","amount_cents":1599,"currency":"USD","markdown":false,"listed_seconds":90000}`},
	{"consign.item.returned", `{"event":"spring-2026","category":"toys"}`},
	{"consign.item.transferred", `{"event":"spring-2026","category":"toys"}`},
	{"consign.consignor.registered", `{"event":"spring-2026","type":"super","fee_paid":true}`},
	{"consign.volunteer.signedup", `{"event":"spring-2026","shift":"general_help"}`},
	{"consign.volunteer.cancelled", `{"event":"spring-2026","shift":"general_help"}`},
	{"consign.dropoff.scheduled", `{"event":"spring-2026"}`},
	{"consign.dropoff.completed", `{"event":"spring-2026","duration_seconds":540,"items":25}`},
	{"consign.dropoff.missed", `{"event":"spring-2026"}`},
	{"consign.webhook.received", `{"provider":"shopify","topic":"orders/create","outcome":"accepted","delay_seconds":1.5}`},
	{"consign.webhook.processed", `{"provider":"shopify","topic":"orders/create","outcome":"succeeded","duration_seconds":0.2}`},
	{"consign.order.imported", `{"event":"spring-2026","outcome":"succeeded","delay_seconds":2.5}`},
	{"consign.sync.finished", `{"kind":"products","outcome":"succeeded","items":120,"conflicts":2,"duration_seconds":14}`},
	{"consign.auth.request", `{"operation":"sign_in","outcome":"ok","duration_seconds":0.12}`},
	{"consign.auth.token", `{"result":"valid"}`},
	{"consign.email.queued", `{"template":"welcome"}`},
	{"consign.email.sent", `{"template":"welcome","delay_seconds":3}`},
	{"consign.email.delivered", `{"template":"welcome","delay_seconds":9}`},
	{"consign.email.deferred", `{"template":"welcome"}`},
	{"consign.email.bounced", `{"template":"welcome","bounce":"hard"}`},
	{"consign.email.rejected", `{"template":"welcome"}`},
	{"consign.email.complained", `{"template":"welcome"}`},
	{"consign.process.started", `{"process":"checkout"}`},
	{"consign.process.finished", `{"process":"checkout","outcome":"succeeded","duration_seconds":42}`},
	{"consign.process.violated", `{"process":"checkout"}`},
	{"consign.app.started", `{"component":"api","version":"1.2.3","reason":"deploy"}`},
	{"consign.app.crashed", `{"component":"api","version":"1.2.3","reason":"oom"}`},
}

func BenchmarkCount(b *testing.B) {
	for _, tt := range samples {
		b.Run(tt.typ, func(b *testing.B) {
			s := newAggregator(b, Options{}).Shard("t", 0)
			s.Assign(0, "")
			var events [][]byte
			for i := range 1024 {
				events = append(events, []byte(eventtest.EventID(strconv.Itoa(i), tt.typ, fmt.Sprintf("client-%03d", i%200), tt.data)))
			}
			benchmarkCount(b, s, events)
		})
	}
	b.Run("requests", func(b *testing.B) {
		s := newAggregator(b, Options{}).Shard("t", 0)
		s.Assign(0, "")
		benchmarkCount(b, s, eventtest.Requests(4096))
	})
}

func benchmarkCount(b *testing.B, s *Shard, events [][]byte) {
	const batch = 512
	records := make([]cloudevent.Record, len(events))
	for i := range records {
		records[i].Value = events[i]
	}
	bad := func(_ *cloudevent.Record, _ Outcome, p cloudevent.Problem) { b.Fatal(p) }
	b.SetBytes(int64(len(events[0])))
	b.ReportAllocs()
	offset := int64(0)
	for i := 0; b.Loop(); i = (i + 1) & (len(records) - 1) {
		records[i].Offset = offset
		offset++
		if (i+1)&(batch-1) == 0 {
			s.CountBatch(start, records[i+1-batch:i+1], bad)
		}
	}
}

// BenchmarkPlainExporter is what an average engineer would write.
func BenchmarkPlainExporter(b *testing.B) {
	type request struct {
		SpecVersion string    `json:"specversion"`
		ID          string    `json:"id"`
		Source      string    `json:"source"`
		Type        string    `json:"type"`
		Time        time.Time `json:"time"`
		ClientID    string    `json:"clientid"`
		Data        struct {
			Route    string  `json:"route"`
			Method   string  `json:"method"`
			Status   int     `json:"status"`
			Duration float64 `json:"duration_seconds"`
		} `json:"data"`
	}
	total := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "a_total"}, []string{"route", "method", "code"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "a_seconds"}, []string{"route"})
	clientTotal := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "b_total"}, []string{"client", "code_class"})
	clientDuration := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "b_seconds"}, []string{"client"})
	events := eventtest.Requests(4096)
	b.SetBytes(int64(len(events[0])))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		var r request
		if err := json.Unmarshal(events[i&4095], &r); err != nil {
			b.Fatal(err)
		}
		total.WithLabelValues(r.Data.Route, r.Data.Method, strconv.Itoa(r.Data.Status)).Inc()
		duration.WithLabelValues(r.Data.Route).Observe(r.Data.Duration)
		clientTotal.WithLabelValues(r.ClientID, strconv.Itoa(r.Data.Status/100)+"xx").Inc()
		clientDuration.WithLabelValues(r.ClientID).Observe(r.Data.Duration)
	}
}
