package chap_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/iscsi/internal/chap"
)

// A target asks, an initiator answers, the target checks.
func Example() {
	asked := chap.NewChallenge(chap.Choose(chap.Offer))
	got, _ := chap.ParseChallenge(asked.Algorithm, fmt.Sprint(asked.ID), chap.Encode(asked.Bytes))
	answer := chap.Encode(got.Answer("correct horse"))
	fmt.Println(asked.Check(answer, "correct horse"), asked.Check(answer, "battery staple"))
	// Output: true false
}

func TestChoose(t *testing.T) {
	for offer, want := range map[string]int{"5": 5, "5,7": 7, "6,5": 6, "8": 0, "": 0, "x,5": 5} {
		require.Equal(t, want, chap.Choose(offer), offer)
	}
}

// The answer to a known challenge, as md5sum and sha256sum make it.
func TestAnswer(t *testing.T) {
	for algorithm, want := range map[int]string{
		chap.MD5:    "0x900150983cd24fb0d6963f7d28e17f72",
		chap.SHA256: "0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	} {
		c, err := chap.ParseChallenge(algorithm, "0x61", "0x63")
		require.NoError(t, err)
		require.Equal(t, want, chap.Encode(c.Answer("b"))) // the hash of "abc"
		require.True(t, c.Check(want, "b"))
		require.False(t, c.Check(want, "B"))
		require.False(t, c.Check("", "b"))
	}
}

func TestDecode(t *testing.T) {
	for text, want := range map[string]string{"0x616263": "abc", "0X616263": "abc", "0bYWJj": "abc", "0x0": "\x00"} {
		b, err := chap.Decode(text)
		require.NoError(t, err)
		require.Equal(t, want, string(b))
	}
	for _, text := range []string{"", "0", "abc", "0xg1", "0b*"} {
		_, err := chap.Decode(text)
		require.Error(t, err, text)
	}
	for _, id := range []string{"256", "-1", ""} {
		_, err := chap.ParseChallenge(chap.MD5, id, "0x00")
		require.Error(t, err, id)
	}
	_, err := chap.ParseChallenge(9, "1", "0x00")
	require.Error(t, err)
}

func FuzzDecode(f *testing.F) {
	f.Add("0x00")
	f.Add("0bAA==")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := chap.Decode(text)
		if err != nil {
			return
		}
		again, err := chap.Decode(chap.Encode(b))
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}
