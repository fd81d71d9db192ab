package interner

import "testing"

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
		if got := Identifying(tt.value); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.value, got, tt.want)
		}
	}
}
