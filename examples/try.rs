use quantize::*;
fn main() {
    let names = quantize::config::Names { methods: &["minmax","percentile","entropy","entropy-trt","mse","auto"], metrics: &["top1","top5"] };
    let sets: Vec<String> = std::env::args().skip(2).collect();
    let job = match config::load(std::env::args().nth(1).unwrap().as_ref(), &sets, &names) { Ok(j)=>j, Err(e)=>{ eprintln!("{e}"); return } };
    struct M(std::sync::Mutex<(String,std::time::Instant)>);
    impl base::Monitor for M { fn stage(&self,n:&str,u:&str,t:usize){ let mut g=self.0.lock().unwrap(); eprintln!("   {} {:?}", g.0, g.1.elapsed()); *g=(n.into(),std::time::Instant::now()); eprintln!("{n} {t} {u}") } fn advance(&self,_:usize){} fn note(&self,t:&str){eprintln!("note {t}")} fn cancelled(&self)->bool{false} }
    let m=M(std::sync::Mutex::new((String::new(),std::time::Instant::now())));
    match pipeline::run(&job, &pipeline::Options::default(), &m) { Err(e)=>eprintln!("{e}"), Ok(o)=>{ println!("{}", report::to_markdown(&o.report)); println!("{:?}", o.files)} }
}
