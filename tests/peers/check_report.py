#!/usr/bin/env python3
"""Is a report.json as the published schema says?

    quantize schema --report > schema.json
    python check_report.py schema.json report.json
"""
import json
import sys
from pathlib import Path

import jsonschema


def main():
    schema, report = (json.loads(Path(p).read_text()) for p in sys.argv[1:3])
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    errors = list(validator(schema).iter_errors(report))
    for e in errors[:20]:
        print(f"{e.json_path}: {e.message[:300]}")
    accuracy = report["accuracy"]
    print(f"{len(errors)} violations; {accuracy['n']} images, FP32 {accuracy['reference']['top1']:.2f} %, "
          f"INT8 {accuracy['engine']['top1']:.2f} %, agreement {accuracy['agreement_top1']:.2f} %")
    sys.exit(bool(errors))


if __name__ == "__main__":
    main()
