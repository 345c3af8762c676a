"""Columns of Arrow's string and binary views, for which most of its kernels are missing: cast once, and cast back."""

import pyarrow as pa
from pyarrow import types


def without_views(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return some rows of a table with plain strings and bytes in place of views."""
    schema = plain_schema(rows.schema)
    return rows if schema.equals(rows.schema) else rows.cast(schema)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema with plain strings and bytes in place of views."""
    return pa.schema([field.with_type(_plain(field.type)) for field in schema], schema.metadata)


def parquet_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema that pyarrow can write as Parquet: without views in lists and structs, stored alike."""
    return pa.schema(
        [field.with_type(_plain(field.type)) if types.is_nested(field.type) else field for field in schema],
        schema.metadata,
    )


def filtered(rows: pa.RecordBatch, mask: pa.Array, schema: pa.Schema | None = None) -> pa.RecordBatch:
    """Return the rows that a mask marks, with the types that they have or those of a schema."""
    kept, schema = without_views(rows).filter(mask), schema or rows.schema
    return kept if kept.schema.equals(schema) else kept.cast(schema)


def _plain(kind: pa.DataType) -> pa.DataType:
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    if types.is_struct(kind):
        return pa.struct([field.with_type(_plain(field.type)) for field in kind])
    for is_list, of in ((types.is_list, pa.list_), (types.is_large_list, pa.large_list)):
        if is_list(kind):
            return of(kind.value_field.with_type(_plain(kind.value_type)))
    return kind
