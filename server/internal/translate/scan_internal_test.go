package translate

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// A body of this size would need more memory than a test should take.
func TestSizeThatCannotBeAddressedIsRefused(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkAddressable(math.MaxInt32))
	require.EqualError(t, checkAddressable(math.MaxInt32+1), "body of 2147483648 bytes: at most 2147483647 can be read")
}
