"""The ONNX Runtime engine: embedding models as ONNX files. The only package that imports onnxruntime."""
