//! Joins the network edge and the warehouse: the edge's trait over the real warehouse, by conversions alone.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use feitian_api::warehouse as edge;
use feitian_base::Result;
use feitian_meta::rows::{Instance, Partition, Resource, Session, Table};
use feitian_meta::{PartitionSums, TableFilter, VolumeEntry};
use feitian_types::{Column, PartitionSpec};
use feitian_warehouse as inner;

/// The warehouse as the network edge sees it.
pub struct Adapter {
    warehouse: inner::Warehouse,
}

impl Adapter {
    /// Wraps `warehouse`; clones of it elsewhere see the same tables and jobs.
    pub fn new(warehouse: inner::Warehouse) -> Self {
        Self { warehouse }
    }
}

#[async_trait]
impl edge::Warehouse for Adapter {
    async fn submit(&self, caller: &edge::Caller, project: &str, job: edge::NewJob) -> Result<Instance> {
        let edge::NewJob { guid, priority, source, task_name, task_type, query, settings } = job;
        let job = inner::NewJob { guid, priority, source, task_name, task_type, query, settings };
        self.warehouse.submit(&caller.name, project, job).await
    }

    async fn instance(&self, project: &str, id: &str) -> Result<Instance> {
        self.warehouse.instance(project, id).await
    }

    async fn instance_of_guid(&self, project: &str, guid: &str) -> Result<Option<Instance>> {
        self.warehouse.meta().instance_of_guid(project, guid).await
    }

    async fn wait(&self, project: &str, id: &str, limit: Duration) -> Result<Instance> {
        self.warehouse.wait(project, id, limit).await
    }

    async fn stop(&self, project: &str, id: &str) -> Result<()> {
        self.warehouse.stop(project, id).await
    }

    async fn list_instances(
        &self,
        project: &str,
        filter: edge::InstanceFilter,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<edge::Page<Instance>> {
        let edge::InstanceFilter { status, from_ms, to_ms, owner } = filter;
        let filter = inner::JobFilter { status, from_ms, to_ms, owner };
        self.warehouse.list_instances(project, filter, marker, limit).await.map(page)
    }

    async fn progress(&self, instance: &Instance) -> Result<Vec<edge::Stage>> {
        Ok(self.warehouse.progress(instance).await?.into_iter().map(stage).collect())
    }

    async fn profile(&self, instance: &Instance) -> Result<serde_json::Value> {
        self.warehouse.profile(instance).await
    }

    async fn worker_log(&self, instance: &Instance) -> Result<Vec<u8>> {
        self.warehouse.worker_log(instance).await
    }

    async fn queue_place(&self, instance: &Instance) -> Result<Option<usize>> {
        self.warehouse.queue_place(instance).await
    }

    async fn queue_load(&self, project: &str) -> Result<edge::QueueLoad> {
        let inner::QueueLoad { project_running, project_limit, process_running, process_limit } =
            self.warehouse.queue_load(project).await?;
        Ok(edge::QueueLoad { project_running, project_limit, process_running, process_limit })
    }

    async fn earlier_run(&self, instance: &Instance) -> Result<Option<Instance>> {
        self.warehouse.earlier_run(instance).await
    }

    async fn result(&self, instance: &Instance) -> Result<edge::RowSet> {
        let inner::RowSet { columns, num_rows } = self.warehouse.result(instance).await?;
        Ok(edge::RowSet { columns, num_rows })
    }

    async fn read_result(
        &self,
        instance: &Instance,
        range: edge::RowRange,
        columns: Option<Vec<String>>,
    ) -> Result<(Vec<Column>, edge::Batches)> {
        self.warehouse.read_result(instance, rows(range), columns).await
    }

    async fn table(&self, project: &str, table: &str) -> Result<edge::TableInfo> {
        let inner::TableInfo { table, num_rows, num_bytes, num_files } = self.warehouse.table(project, table).await?;
        Ok(edge::TableInfo { table, num_rows, num_bytes, num_files })
    }

    async fn list_tables(
        &self,
        project: &str,
        schema: &str,
        prefix: Option<&str>,
        owner: Option<&str>,
        kind: Option<&str>,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<edge::Page<Table>> {
        let text = |value: Option<&str>| value.map(str::to_string);
        let filter = TableFilter { prefix: text(prefix), owner: text(owner), kind: text(kind) };
        self.warehouse.list_tables(project, schema, filter, marker, limit).await.map(page)
    }

    async fn table_sizes(&self, tables: &[Table]) -> Result<Vec<Option<PartitionSums>>> {
        self.warehouse.table_sizes(tables).await
    }

    async fn list_partitions(
        &self,
        project: &str,
        table: &str,
        prefix: Option<&PartitionSpec>,
        reverse: bool,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<edge::Page<Partition>> {
        self.warehouse.list_partitions(project, table, prefix, reverse, marker, limit).await.map(page)
    }

    async fn partition(&self, project: &str, table: &str, spec: &PartitionSpec) -> Result<Partition> {
        self.warehouse.partition(project, table, spec).await
    }

    async fn preview(
        &self,
        project: &str,
        table: &str,
        partition: Option<&PartitionSpec>,
        columns: Option<Vec<String>>,
        limit: u64,
    ) -> Result<(Vec<Column>, edge::Batches)> {
        self.warehouse.preview(project, table, partition, columns, limit).await
    }

    async fn put_resource(
        &self,
        caller: &edge::Caller,
        new: edge::NewResource,
        content: edge::ResourceContent,
        overwrite: bool,
    ) -> Result<Resource> {
        let edge::NewResource { at, kind, is_temp, comment } = new;
        let new = inner::NewResource { at, kind, is_temp, comment };
        self.warehouse.put_resource(&caller.name, new, content_of(content), overwrite).await
    }

    async fn read_resource(&self, resource: &Resource, range: Range<u64>) -> Result<edge::ByteStream> {
        self.warehouse.read_resource(resource, range).await
    }

    async fn put_volume_file(
        &self,
        session: &Session,
        opens: bool,
        file: VolumeEntry,
        bytes: edge::ByteStream,
    ) -> Result<VolumeEntry> {
        self.warehouse.put_volume_file(session, opens, file, bytes).await
    }

    async fn commit_volume_upload(&self, session: &Session, dir: &str) -> Result<()> {
        self.warehouse.commit_volume_upload(session, dir).await
    }

    async fn read_volume_file(&self, file: &VolumeEntry, range: Range<u64>) -> Result<edge::ByteStream> {
        self.warehouse.read_volume_file(file, range).await
    }

    async fn create_upload(&self, caller: &edge::Caller, request: edge::SessionRequest) -> Result<edge::SessionInfo> {
        self.warehouse.create_upload(&caller.name, wanted(request)).await.map(shown)
    }

    async fn open_upload(
        &self,
        caller: &edge::Caller,
        id: &str,
        request: edge::SessionRequest,
    ) -> Result<edge::SessionInfo> {
        self.warehouse.open_upload(&caller.name, id, wanted(request)).await.map(shown)
    }

    async fn session(&self, kind: &str, project: &str, table: &str, id: &str) -> Result<edge::SessionInfo> {
        self.warehouse.session(kind, project, table, id).await.map(shown)
    }

    async fn write_block(&self, session: &edge::SessionInfo, block_id: i64, batches: edge::BatchSource) -> Result<()> {
        self.warehouse.write_block(&held(session), block_id, batches).await
    }

    async fn commit_upload(&self, session: &edge::SessionInfo) -> Result<edge::SessionInfo> {
        self.warehouse.commit_upload(&held(session)).await.map(shown)
    }

    async fn create_download(&self, caller: &edge::Caller, request: edge::SessionRequest) -> Result<edge::SessionInfo> {
        self.warehouse.create_download(&caller.name, wanted(request)).await.map(shown)
    }

    async fn read_download(
        &self,
        session: &edge::SessionInfo,
        range: edge::RowRange,
        columns: Option<Vec<String>>,
    ) -> Result<(Vec<Column>, edge::Batches)> {
        self.warehouse.read_download(&held(session), rows(range), columns).await
    }

    async fn create_stream(&self, caller: &edge::Caller, request: edge::SessionRequest) -> Result<edge::SessionInfo> {
        self.warehouse.create_stream(&caller.name, wanted(request)).await.map(shown)
    }

    async fn write_stream(&self, session: &edge::SessionInfo, batches: edge::BatchSource) -> Result<()> {
        self.warehouse.write_stream(&held(session), batches).await
    }

    async fn close_stream(&self, session: &edge::SessionInfo) -> Result<()> {
        self.warehouse.close_stream(&held(session)).await
    }

    async fn create_upsert(&self, caller: &edge::Caller, request: edge::SessionRequest) -> Result<edge::SessionInfo> {
        self.warehouse.create_upsert(&caller.name, wanted(request)).await.map(shown)
    }

    async fn write_upsert(
        &self,
        session: &edge::SessionInfo,
        bucket: u64,
        num_rows: u64,
        batches: edge::BatchSource,
    ) -> Result<()> {
        self.warehouse.write_upsert(&held(session), bucket, num_rows, batches).await
    }

    async fn abort_upsert(&self, session: &edge::SessionInfo) -> Result<()> {
        self.warehouse.abort_upsert(&held(session)).await
    }

    async fn create_scan(
        &self,
        caller: &edge::Caller,
        project: &str,
        table: &str,
        options: edge::ScanOptions,
    ) -> Result<edge::ScanInfo> {
        self.warehouse.create_scan(&caller.name, project, table, scan_in(options)).await.map(scan_out)
    }

    async fn scan(&self, project: &str, table: &str, id: &str) -> Result<edge::ScanInfo> {
        self.warehouse.scan(project, table, id).await.map(scan_out)
    }

    async fn read_scan(
        &self,
        scan: &edge::ScanInfo,
        split: u64,
        range: Option<edge::RowRange>,
    ) -> Result<(Vec<Column>, edge::Batches)> {
        let edge::ScanInfo { session, options, columns, partition_columns, num_splits, num_bytes } = scan.clone();
        let options = scan_in(options);
        let scan = inner::ScanInfo { session, options, columns, partition_columns, num_splits, num_bytes };
        self.warehouse.read_scan(&scan, split, range.map(rows)).await
    }

    async fn create_write(
        &self,
        caller: &edge::Caller,
        request: edge::SessionRequest,
        partition_limit: u64,
    ) -> Result<edge::SessionInfo> {
        self.warehouse.create_write(&caller.name, wanted(request), partition_limit).await.map(shown)
    }

    async fn commit_write(&self, session: &edge::SessionInfo, blocks: &BTreeSet<i64>) -> Result<edge::SessionInfo> {
        self.warehouse.commit_write(&held(session), blocks).await.map(shown)
    }

    async fn create_streamed(&self, caller: &edge::Caller, request: edge::SessionRequest) -> Result<edge::SessionInfo> {
        self.warehouse.create_streamed(&caller.name, wanted(request)).await.map(shown)
    }

    async fn open_write_stream(
        &self,
        session: &edge::SessionInfo,
        name: &edge::StreamName,
        counts_rows: bool,
    ) -> Result<edge::WriteStream> {
        self.warehouse.open_write_stream(&held(session), &stream_in(name), counts_rows).await.map(stream_out)
    }

    async fn write_stream_named(
        &self,
        session: &edge::SessionInfo,
        name: &edge::StreamName,
    ) -> Result<edge::WriteStream> {
        self.warehouse.write_stream_named(&held(session), &stream_in(name)).await.map(stream_out)
    }

    async fn write_streams(&self, session: &edge::SessionInfo) -> Result<Vec<edge::WriteStream>> {
        Ok(self.warehouse.write_streams(&held(session)).await?.into_iter().map(stream_out).collect())
    }

    async fn write_to_stream(
        &self,
        session: &edge::SessionInfo,
        name: &edge::StreamName,
        part: edge::StreamPart,
        batches: edge::BatchSource,
    ) -> Result<edge::WriteStream> {
        let edge::StreamPart { place, num_rows, request } = part;
        let place = place.map(|edge::StreamPlace { row, token }| inner::StreamPlace { row, token });
        let part = inner::StreamPart { place, num_rows, request };
        self.warehouse.write_to_stream(&held(session), &stream_in(name), part, batches).await.map(stream_out)
    }

    async fn close_write_stream(
        &self,
        session: &edge::SessionInfo,
        name: &edge::StreamName,
    ) -> Result<edge::WriteStream> {
        self.warehouse.close_write_stream(&held(session), &stream_in(name)).await.map(stream_out)
    }

    async fn commit_streams(
        &self,
        session: &edge::SessionInfo,
        names: &[edge::StreamName],
    ) -> Result<edge::SessionInfo> {
        let names: Vec<inner::StreamName> = names.iter().map(stream_in).collect();
        self.warehouse.commit_streams(&held(session), &names).await.map(shown)
    }

    async fn security(
        &self,
        caller: &edge::Caller,
        project: &str,
        query: edge::SecurityQuery,
    ) -> Result<serde_json::Value> {
        let edge::SecurityQuery { by_token, schema, has_schemas, text } = query;
        let (account, project) = (caller.name.clone(), project.to_string());
        let request = inner::SecurityRequest { account, by_token, project, schema, has_schemas, text };
        Ok(self.warehouse.security(request).await?.into_json())
    }

    fn functions(&self) -> Vec<&'static str> {
        feitian_functions::calls()
    }

    async fn collect(&self, older_than: Duration) -> Result<u64> {
        self.warehouse.collect(older_than).await
    }
}

fn page<T>(page: inner::Page<T>) -> edge::Page<T> {
    edge::Page { items: page.items, next: page.next }
}

fn rows(range: edge::RowRange) -> inner::RowRange {
    inner::RowRange { start: range.start, count: range.count }
}

fn stage(stage: inner::Stage) -> edge::Stage {
    let inner::Stage { id, workers_total, workers_running, workers_done, rows_in, rows_out, percent } = stage;
    edge::Stage { id, workers_total, workers_running, workers_done, rows_in, rows_out, percent }
}

fn content_of(content: edge::ResourceContent) -> inner::ResourceContent {
    use edge::ResourceContent as Edge;
    use inner::ResourceContent as Inner;
    match content {
        Edge::Bytes(bytes) => Inner::Bytes(bytes),
        Edge::Parts { md5, names, num_bytes } => Inner::Parts { md5, names, num_bytes },
        Edge::Reference(to) => Inner::Reference(to),
    }
}

fn wanted(request: edge::SessionRequest) -> inner::SessionRequest {
    let edge::SessionRequest { project, table, partition, overwrite, create_partition, schema_version } = request;
    inner::SessionRequest { project, table, partition, overwrite, create_partition, schema_version }
}

fn shown(info: inner::SessionInfo) -> edge::SessionInfo {
    let inner::SessionInfo { session, columns, partition_columns, blocks } = info;
    edge::SessionInfo { session, columns, partition_columns, blocks }
}

fn held(info: &edge::SessionInfo) -> inner::SessionInfo {
    let edge::SessionInfo { session, columns, partition_columns, blocks } = info.clone();
    inner::SessionInfo { session, columns, partition_columns, blocks }
}

fn stream_in(name: &edge::StreamName) -> inner::StreamName {
    inner::StreamName { id: name.id.clone(), version: name.version }
}

fn stream_out(stream: inner::WriteStream) -> edge::WriteStream {
    let inner::WriteStream { name, num_rows, num_bytes, is_closed, token } = stream;
    let name = edge::StreamName { id: name.id, version: name.version };
    edge::WriteStream { name, num_rows, num_bytes, is_closed, token }
}

fn scan_in(options: edge::ScanOptions) -> inner::ScanOptions {
    let edge::ScanOptions { columns, partition_columns, partitions, split, cross_partition, filter } = options;
    let split = match split {
        edge::Split::Bytes(each) => inner::Split::Bytes(each),
        edge::Split::Count(count) => inner::Split::Count(count),
        edge::Split::Rows => inner::Split::Rows,
    };
    inner::ScanOptions { columns, partition_columns, partitions, split, cross_partition, filter }
}

fn scan_out(scan: inner::ScanInfo) -> edge::ScanInfo {
    let inner::ScanInfo { session, options, columns, partition_columns, num_splits, num_bytes } = scan;
    let inner::ScanOptions { columns: c, partition_columns: p, partitions, split, cross_partition, filter } = options;
    let split = match split {
        inner::Split::Bytes(each) => edge::Split::Bytes(each),
        inner::Split::Count(count) => edge::Split::Count(count),
        inner::Split::Rows => edge::Split::Rows,
    };
    let options = edge::ScanOptions { columns: c, partition_columns: p, partitions, split, cross_partition, filter };
    edge::ScanInfo { session, options, columns, partition_columns, num_splits, num_bytes }
}
