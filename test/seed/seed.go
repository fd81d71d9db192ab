// Package seed gives tests their random choices: each comes from a seed that the test logs and that can be given again, so that a run can be repeated.
// It never reads the clock or the machine's entropy: without a seed of one's own every run chooses the same.
package seed

import (
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Variable names the environment variable with the seed, an unsigned decimal number. `make acceptance` sets it, to another one at each run.
const Variable = "CONSIGNWATCH_TEST_SEED"

// usual is the seed of a run that is given none: `make test` says the same thing every time.
const usual = 1

// Of returns the seed of the run, and logs it in the test. A seed that is no number fails the test.
func Of(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(usual)
	if text := os.Getenv(Variable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s is %q: %v; want a number from 0 to 2^64-1", Variable, text, err)
		}
	}
	t.Logf("seed: %s=%d", Variable, seed)
	return seed
}

// Rand returns a source of random numbers of the test's own, from the run's seed and the test's name: what one test draws changes nothing for another. It is
// for one goroutine at a time.
func Rand(t testing.TB) *rand.Rand {
	t.Helper()
	name := fnv.New64a()
	_, _ = name.Write([]byte(t.Name())) // never fails
	return rand.New(rand.NewPCG(Of(t), name.Sum64()))
}
