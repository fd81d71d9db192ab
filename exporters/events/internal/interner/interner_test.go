package interner

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/test/seed"
)

func TestShardsAgreeOnAdmission(t *testing.T) {
	d := New(&catalog.Shipped().Of(catalog.Events)[0].Labels[0], 60, nil) // route
	random := seed.Of(t)
	var wg sync.WaitGroup
	got := make([][300]uint32, 4)
	for g := range got {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(random, uint64(g)))
			for range 20_000 {
				i := rnd.IntN(300)
				id, ok := d.Intern(fmt.Appendf(nil, "/r%d", i), 0, 0)
				if ok != (id != OtherID) {
					t.Errorf("route %d: %d, %v", i, id, ok)
				}
				if got[g][i] != 0 && got[g][i] != id {
					t.Errorf("route %d was %d, is %d", i, got[g][i], id)
				}
				got[g][i] = id
			}
		})
	}
	wg.Wait()
	admitted := map[uint32]bool{}
	for i := range 300 {
		for g := range got {
			if got[g][i] != 0 {
				admitted[got[g][i]] = true
				if id, _ := d.Intern(fmt.Appendf(nil, "/r%d", i), 0, 0); id != got[g][i] {
					t.Errorf("route %d is %d here and %d there", i, got[g][i], id)
				}
			}
		}
	}
	if len(admitted) != 60 {
		t.Errorf("%d routes were admitted, want 60", len(admitted))
	}
}
