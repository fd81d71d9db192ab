package interner

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/consignwatch/consignwatch/test/seed"
)

func TestIdentifying(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  bool
	}{
		{"/orders/7c9e6679-7425-40de-944b-e07fc1f90ae7", true},
		{"7C9E6679-7425-40DE-944B-E07FC1F90AE7.pdf", true},
		{"/orders/7c9e6679-7425-40de-944b", false}, // no UUID
		{"/orders/104729", true},
		{"/orders/10472", false},
		{"report.20260301", true},
		{"/v1/2026-03-01", false},
		{"/blobs/9f86d08b884c7d65", true},
		{"/blobs/9f86d08b884c7d6", false},
		{"/blobs/DEADBEEFCAFEBABE", true},
		{"/files/Zk3vQ9pLx72RtWm4Ny8B", true},
		{"/files/Zk3vQ9pLx72RtWm4Ny8", false},
		{"/files/Zk3vQ9pLx7-2RtWm4Ny8B", false}, // two words
		{"orders.reconciliationReport", false},
		{"listConsignorStatements", false},
		{"CONSIGNORSTATEMENTS2026", false},
		{"/keys/sk_live_Qm", true},
		{"sk_test", true},
		{"task_create", false},
		{"risk_score", false},
		{"/sessions/eyJhbGciOi", true},
		{"eyJ0", true},
		{"eyewear", false},
		{"kids/eyewear", false},
		{"honeyJars", false},
		{"anna@example", true},
		{"/people/Anna.Schmidt", true},
		{"/people/Anna.Schmidt/edit", true},
		{"mail:Anna.Schmidt", true},
		{"Shop.Items.Create", false}, // three
		{"items.list", false},
		{"Items.list", false},
		{"orders/create", false},
		{"/api/items/{id}", false},
		{"/api/v2/*", false},
		{"hard_bounce", false},
		{"", false},
	} {
		if got := Identifying([]byte(tt.value)); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.value, got, tt.want)
		}
	}
}

// rule is what Identifying finds, as regular expressions.
var rule = []*regexp.Regexp{
	regexp.MustCompile(`[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`),
	regexp.MustCompile(`[0-9]{6}`),
	regexp.MustCompile(`[0-9A-Fa-f]{16}`),
	regexp.MustCompile(`(^|[^0-9A-Za-z_-])(sk_|ey[0-9A-Za-z_-]*[0-9A-Z])`),
	regexp.MustCompile(`@`),
	regexp.MustCompile(`(^|[^0-9A-Za-z.])[A-Z][a-z]+\.[A-Z][a-z]+($|[^0-9A-Za-z.])`),
}

var longWord = regexp.MustCompile(`[0-9A-Za-z]{20,}`)

func matchesRule(value []byte) bool {
	for _, r := range rule {
		if r.Match(value) {
			return true
		}
	}
	for _, w := range longWord.FindAll(value, -1) {
		if bytes.ContainsAny(w, "0123456789") && bytes.ContainsAny(w, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") && bytes.ContainsAny(w, "abcdefghijklmnopqrstuvwxyz") {
			return true
		}
	}
	return false
}

func TestIdentifyingMatchesItsRule(t *testing.T) {
	rnd := seed.Rand(t)
	pieces := []string{"/", ".", "-", "_", ":", "é", "sk_", "ey", "ann", "Ann", "Anna.Schmidt", "A", "x", "7", "41", "20260", "abcdef0", "DEAD", "7c9e6679-", "7425-", "40de-944b-", "e07fc1f90ae7", "Zk3vQ9pLx72"}
	identifying := 0
	for range 200_000 {
		var value []byte
		for range 1 + rnd.IntN(7) {
			value = append(value, pieces[rnd.IntN(len(pieces))]...)
		}
		want := matchesRule(value)
		if want {
			identifying++
		}
		if got := Identifying(value); got != want {
			t.Fatalf("%q: %v, want %v", value, got, want)
		}
	}
	if identifying < 20_000 || identifying > 180_000 {
		t.Errorf("%d of 200,000 values are identifying", identifying)
	}
}

func BenchmarkIdentifying(b *testing.B) {
	route := []byte("/api/consignors/{id}/statements/2026-03/download")
	b.ReportAllocs()
	for b.Loop() {
		if Identifying(route) {
			b.Fatal("the route is identifying")
		}
	}
}
