package cli

import (
	"context"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvjson"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

func txnCommand() *command {
	return &command{
		name: "txn", args: "[JSON]", summary: "do several operations as one, under conditions", most: 1,
		details: `Reads the transaction from stdin where JSON is not given or is -:

  kvorum txn '{"if":[{"key":"/leader","create_revision":0}],
               "then":[{"put":{"key":"/leader","value":"server-3"}}],
               "else":[{"get":{"key":"/leader"}}]}'

Prints the answer as JSON. Exit code 3 if the conditions did not hold and "else" was done.`,
		run: func(ctx context.Context, s *session, args []string) error {
			if s.output == "table" {
				return usagef("txn answers in JSON only")
			}
			arg := "-"
			if len(args) > 0 {
				arg = args[0]
			}
			body, err := s.argument(arg, api.MaxPayloadBytes)
			if err != nil {
				return err
			}
			var req kvpb.TxnRequest
			if err := kvjson.Unmarshal(body, &req); err != nil {
				return err
			}
			var resp kvpb.TxnResponse
			if err := s.call(ctx, api.SubjectTxn, &req, &resp); err != nil {
				return err
			}
			if err := s.json(&resp); err != nil {
				return err
			}
			if !resp.GetSucceeded() {
				return errNo
			}
			return nil
		},
	}
}
