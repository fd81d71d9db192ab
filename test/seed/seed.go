// Package seed provides random numbers for tests from a seed that the test logs, so that a run can be repeated with the same seed. It never reads the
// clock or the machine's entropy: without a given seed, every run uses the same numbers.
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

// defaultSeed is the seed of a run without a given one: the result of `make test` does not depend on chance.
const defaultSeed = 1

// Of returns the seed of the run, and logs it in the test. The test fails if the seed is not a number.
func Of(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(defaultSeed)
	if text := os.Getenv(Variable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s is %q: %v; want a number from 0 to 2^64-1", Variable, text, err)
		}
	}
	t.Logf("seed: %s=%d", Variable, seed)
	return seed
}

// Rand returns a source of random numbers from the run's seed and the test's name: tests do not influence each other's numbers. It is not safe for concurrent
// use.
func Rand(t testing.TB) *rand.Rand {
	t.Helper()
	name := fnv.New64a()
	_, _ = name.Write([]byte(t.Name())) // never fails
	return rand.New(rand.NewPCG(Of(t), name.Sum64()))
}
