package accounts

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAVersionMakesTheSameBytes: states are stored, and compared with what is made
// again, so what the fold makes of the same events changes only with its Version.
func TestAVersionMakesTheSameBytes(t *testing.T) {
	t.Parallel()
	made := map[int]string{1: "bb0c1b1c98bf254e1505f299614b504564b5610682d65119d57e5c0fa16cf212"}
	m, random := newMemory(t), rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		m.postTo([]string{"a", "b"}[random.IntN(2)], randomCallback(random))
	}
	sum := sha256.Sum256([]byte(m.again(random).dump()))
	require.Equal(t, made[Version], hex.EncodeToString(sum[:]), "what did change: the fold, or only these events?")
}
