package webhook

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// A length that was announced is a guess: any other body is read as well.
func TestReadAllWhateverSizeWasExpected(t *testing.T) {
	t.Parallel()
	room := func(int64) bool { return true }
	text := strings.Repeat("0123456789", 1000)
	for _, length := range []int{0, 1, 2, len(text)} {
		for _, expected := range []int{0, 1, length, length + 1} {
			whole, err := readAll(strings.NewReader(text[:length]), expected, room)
			require.NoError(t, err)
			require.Equal(t, text[:length], string(whole))

			trickled, err := readAll(iotest.DataErrReader(iotest.OneByteReader(strings.NewReader(text[:length]))), expected, room)
			require.NoError(t, err)
			require.Equal(t, text[:length], string(trickled))
		}
	}
	broken := errors.New("broken")
	_, err := readAll(iotest.ErrReader(broken), 10, room)
	require.ErrorIs(t, err, broken)
}
